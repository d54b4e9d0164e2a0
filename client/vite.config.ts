import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

/** The address of `callburner serve` during development. */
const SERVER = process.env.CALLBURNER_URL ?? 'http://127.0.0.1:4000';

/**
 * The options for paths that the server handles. The Host header stays as the browser sent it (no `changeOrigin`):
 * the server compares it with the Origin.
 */
const proxied = { target: SERVER, ws: true };

export default defineConfig({
  plugins: [react()],
  server: {
    port: 5173,
    strictPort: true,
    proxy: {
      '/api': proxied,
      '/ws': proxied,
      '/healthz': proxied,
      '/readyz': proxied,
    },
  },
  build: {
    target: 'es2023',
    // The content security policy forbids `data:` URLs in scripts and styles.
    assetsInlineLimit: 0,
    manifest: true,
    sourcemap: false,
  },
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.{ts,tsx}'],
  },
});
