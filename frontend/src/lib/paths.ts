/** Every address of a page is made here. A name with a slash stays readable: `/datasets/me/one`. */
const name = (text: string) => text.split("/").map(encodeURIComponent).join("/");

function query(path: string, search: Record<string, string | number | undefined | null>): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(search)) {
    if (value !== undefined && value !== null && value !== "") params.set(key, String(value));
  }
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

export const paths = {
  home: () => "/",
  account: () => "/account",
  train: (search: { dataset?: string; from?: string; recipe?: string; base?: string } = {}) => query("/train", search),
  jobs: (search: { state?: string; namespace?: string } = {}) => query("/jobs", search),
  job: (id: string, search: { namespace?: string; tab?: string; line?: number } = {}) =>
    query(`/jobs/${name(id)}`, search),
  spaces: () => "/spaces",
  newSpace: (search: { model?: string } = {}) => query("/spaces/new", search),
  space: (id: string) => `/spaces/${name(id)}`,
  datasets: () => "/datasets",
  dataset: (id: string, search: { split?: string; config?: string; after?: number; session?: string } = {}) =>
    query(`/datasets/${name(id)}`, search),
  sessions: () => "/sessions",
  /** A session is named by its file, and by its id where the file holds many. */
  session: (
    file: string,
    search: { id?: string | null | undefined; conversation?: number | undefined; at?: number | undefined } = {},
  ) => query(`/sessions/${name(file.replace(/^\//, ""))}`, search),
  runs: () => "/runs",
  run: (id: string) => `/runs/${name(id)}`,
  router: () => "/router",
  usage: () => "/usage",
  activity: (search: { view?: string; of?: string } = {}) => query("/activity", search),
  settings: () => "/settings",
};
