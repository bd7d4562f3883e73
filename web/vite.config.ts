/// <reference types="vitest/config" />
// The page. Relative addresses throughout: it works under any prefix of any host.

import { defineConfig } from 'vite'
import { land } from './build/land.ts'

export default defineConfig({
  base: './',
  plugins: [land()],
  build: {
    outDir: '../streamer/_web',
    emptyOutDir: true,
    target: 'es2023',
    assetsInlineLimit: 0, // data: addresses would need a looser content security policy
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      '/ws': { target: 'ws://127.0.0.1:8080', ws: true },
      '/config.json': 'http://127.0.0.1:8080',
    },
  },
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'happy-dom',
  },
})
