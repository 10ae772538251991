import config from "./playwright.config";

/** What is measured, not tested: `npm run measure`. Nothing is recorded meanwhile: that takes frames of its own. */
export default { ...config, testMatch: "*.measure.ts", use: { ...config.use, trace: "off" }, timeout: 300_000 };
