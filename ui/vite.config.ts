import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The admin face of a running house, for `npm run dev`.
const house = "http://127.0.0.1:8000";

export default defineConfig({
  base: "/console/",
  plugins: [react()],
  // The server puts a fresh one in here on every answer.
  html: { cspNonce: "NONCE-OF-THIS-ANSWER" },
  build: {
    outDir: "build",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    sourcemap: false,
    manifest: true,
    chunkSizeWarningLimit: 900,
  },
  server: { proxy: { "/api": house, "/readyz": house, "/healthz": house } },
});
