import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter, Route, Routes } from "react-router";
import { queries } from "../api/query";
import { applyTheme, storedTheme } from "../lib/theme";
import "../styles/tokens.css";
import "../styles/base.css";
import "../styles/parts.css";
import "../styles/serve.css";
import { NotFound } from "./NotFound";
import { pages } from "./pages";
import { Shell } from "./Shell";
import { Session } from "./session";

applyTheme(storedTheme());
document.documentElement.lang = "en";

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <Session>
          <BrowserRouter>
            <Routes>
              <Route element={<Shell />}>
                {pages.map(({ path, component: Shown }) => (
                  <Route key={path} path={path} element={<Shown />} />
                ))}
                <Route path="*" element={<NotFound />} />
              </Route>
            </Routes>
          </BrowserRouter>
        </Session>
      </QueryClientProvider>
    </StrictMode>,
  );
}
