// The client library: one file with a stable name, for pages of other people.

import { defineConfig } from 'vite'

export default defineConfig({
  build: {
    outDir: '../streamer/_web/client/v1',
    emptyOutDir: true,
    target: 'es2022',
    reportCompressedSize: false,
    lib: { entry: 'src/client/index.ts', formats: ['es'], fileName: () => 'client.js' },
  },
  publicDir: false,
})
