// Last step of the build: the client's types, and a .gz beside each text file for the relay to serve as it is.

import { copyFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

const OUT = new URL('../../streamer/_web/', import.meta.url).pathname
const TEXT = new Set(['.css', '.html', '.js', '.json', '.svg', '.ts', '.txt', '.webmanifest'])
const WORTH_IT = 1024 // bytes; below that the saving fits in the same packet

copyFileSync(new URL('../src/client/client.d.ts', import.meta.url), join(OUT, 'client/v1/client.d.ts'))

for (const entry of readdirSync(OUT, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name)
  if (!entry.isFile() || !TEXT.has(extname(entry.name))) continue
  const plain = readFileSync(path)
  if (plain.length < WORTH_IT) continue
  const packed = gzipSync(plain, { level: 9 })
  writeFileSync(`${path}.gz`, packed)
  console.log(`${path.slice(OUT.length)}  ${plain.length} → ${packed.length}`)
}
