import { type ComponentType, lazy, type LazyExoticComponent } from "react";
import { paths } from "../lib/paths";
import type { IconName } from "../ui/icons";

/** A page: its address, and its place in the navigation where it has one. */
export type Page = {
  path: string;
  component: LazyExoticComponent<ComponentType>;
  nav?: {
    label: string;
    icon: IconName;
    to: string;
    group: "Train" | "Data" | "Serve" | "Account";
    keys?: string;
    words?: string;
  };
};

/**
 * Every page. A new one is a line here; the first part of its address has to be in `PAGES` of the server's `dashboard.rs`.
 * A name with a slash, as `me/model`, is what `*` matches.
 */
export const pages: readonly Page[] = [
  {
    path: "/",
    component: lazy(() => import("../features/home/pages/Home")),
    nav: { label: "Home", icon: "home", to: paths.home(), group: "Train", keys: "g h", words: "start next" },
  },
  {
    path: "/train",
    component: lazy(() => import("../features/training/pages/CloudTraining")),
    nav: {
      label: "Train",
      icon: "train",
      to: paths.train(),
      group: "Train",
      keys: "g t",
      words: "training plan cloud",
    },
  },
  {
    path: "/jobs",
    component: lazy(() => import("../features/jobs/pages/Jobs")),
    nav: { label: "Jobs", icon: "jobs", to: paths.jobs(), group: "Train", keys: "g j", words: "logs monitor" },
  },
  { path: "/jobs/*", component: lazy(() => import("../features/jobs/pages/JobMonitor")) },
  {
    path: "/runs",
    component: lazy(() => import("../features/runs/pages/Runs")),
    nav: { label: "Runs", icon: "runs", to: paths.runs(), group: "Train", keys: "g r", words: "lineage history" },
  },
  { path: "/runs/*", component: lazy(() => import("../features/runs/pages/RunDetail")) },
  {
    path: "/sessions",
    component: lazy(() => import("../features/sessions/pages/Sessions")),
    nav: {
      label: "Sessions",
      icon: "sessions",
      to: paths.sessions(),
      group: "Data",
      keys: "g s",
      words: "logs agents build quality import",
    },
  },
  { path: "/sessions/*", component: lazy(() => import("../features/sessions/pages/Session")) },
  {
    path: "/datasets",
    component: lazy(() => import("../features/datasets/pages/DatasetBrowser")),
    nav: {
      label: "Datasets",
      icon: "datasets",
      to: paths.datasets(),
      group: "Data",
      keys: "g d",
      words: "rows upload secrets findings",
    },
  },
  { path: "/datasets/*", component: lazy(() => import("../features/datasets/pages/Dataset")) },
  {
    path: "/spaces",
    component: lazy(() => import("../features/spaces/pages/Spaces")),
    nav: {
      label: "Spaces",
      icon: "spaces",
      to: paths.spaces(),
      group: "Serve",
      keys: "g p",
      words: "deploy demo app gradio zerogpu",
    },
  },
  { path: "/spaces/new", component: lazy(() => import("../features/spaces/pages/NewSpace")) },
  { path: "/spaces/*", component: lazy(() => import("../features/spaces/pages/SpaceDetail")) },
  {
    path: "/router",
    component: lazy(() => import("../features/router/pages/RouterPage")),
    nav: {
      label: "Router",
      icon: "router",
      to: paths.router(),
      group: "Serve",
      keys: "g o",
      words: "gateway decisions strategy evidence replay openai",
    },
  },
  {
    path: "/usage",
    component: lazy(() => import("../features/usage/pages/Usage")),
    nav: {
      label: "Usage",
      icon: "usage",
      to: paths.usage(),
      group: "Account",
      keys: "g u",
      words: "budget caps money cost spend",
    },
  },
  {
    path: "/activity",
    component: lazy(() => import("../features/activity/pages/Activity")),
    nav: {
      label: "Activity",
      icon: "activity",
      to: paths.activity(),
      group: "Account",
      keys: "g v",
      words: "events tasks log",
    },
  },
  {
    path: "/account",
    component: lazy(() => import("../features/account/pages/HFStatus")),
    nav: {
      label: "Account",
      icon: "account",
      to: paths.account(),
      group: "Account",
      keys: "g a",
      words: "status wallet plan",
    },
  },
  {
    path: "/settings",
    component: lazy(() => import("../features/settings/pages/Settings")),
    nav: { label: "Settings", icon: "settings", to: paths.settings(), group: "Account", keys: "g e", words: "token" },
  },
];

export const navGroups = ["Train", "Data", "Serve", "Account"] as const;
