import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

/** Where `callburner serve` listens while the page is developed. */
const SERVER = process.env.CALLBURNER_URL ?? 'http://127.0.0.1:4000';

/**
 * Paths that the server answers. The Host header stays as the browser sent it (no `changeOrigin`):
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
    // The policy of the page forbids `data:` in scripts and styles.
    assetsInlineLimit: 0,
    manifest: true,
    sourcemap: false,
  },
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.{ts,tsx}'],
  },
});
