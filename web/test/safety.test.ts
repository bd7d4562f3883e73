// What keeps strangers' texts from becoming markup, and the page from growing.

import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'

const WEB = join(import.meta.dirname, '..')
const OUT = join(WEB, '../streamer/_web')
const files = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
const sources = [...files(join(WEB, 'src')), join(WEB, 'index.html')]

describe('the source', () => {
  it.each(sources)('%s has no way from text to markup or code', (file) => {
    const text = readFileSync(file, 'utf8')
    expect(text).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|unsafeHTML|unsafeSVG|unsafeCSS|document\.write|\beval\(|new Function|srcdoc|DOMParser/)
    // Inline styles would need a looser content security policy.
    expect(text).not.toMatch(/\sstyle=/)
  })

  it.each(sources)('%s fits on a few screens', (file) => {
    expect(readFileSync(file, 'utf8').split('\n').length).toBeLessThan(300)
  })

  it('opens foreign links without a trace', () => {
    const view = readFileSync(join(WEB, 'src/page/row-view.ts'), 'utf8')
    expect(view.match(/target="_blank"/g)?.length).toBe(view.match(/rel=\$\{REL\} referrerpolicy="no-referrer"/g)?.length)
    expect(view).toContain("'noopener noreferrer nofollow ugc'")
  })

  it('names no address but those of its sources in comments', () => {
    for (const file of sources) {
      const code = readFileSync(file, 'utf8').replace(/\/\/ .*$|\/\*[\s\S]*?\*\//gm, '').replace('xmlns="http://www.w3.org/2000/svg"', '')
      expect([file, code.match(/(https?|wss?):\/\/[^'"`\s]+/)?.[0]]).toEqual([file, undefined])
    }
  })
})

describe.skipIf(!existsSync(join(OUT, 'index.html')))('the built page', () => {
  const packed = (path: string) => gzipSync(readFileSync(path), { level: 9 }).length

  it('weighs at most 60 kB at first load', () => {
    const first = files(OUT).filter((path) => !path.includes('/client/') && extname(path) !== '.gz')
    expect(first.length).toBeGreaterThan(2)
    expect(first.reduce((sum, path) => sum + packed(path), 0)).toBeLessThan(60_000)
  })

  it('has a client of at most 5 kB that needs nothing else', () => {
    const client = join(OUT, 'client/v1/client.js')
    expect(packed(client)).toBeLessThan(5_000)
    expect(readFileSync(client, 'utf8')).not.toMatch(/\bimport\b/)
    expect(readFileSync(join(OUT, 'client/v1/client.d.ts'), 'utf8')).toBe(readFileSync(join(WEB, 'src/client/client.d.ts'), 'utf8'))
  })

  it('has a packed copy beside each larger text', () => {
    for (const path of files(OUT).filter((file) => /\.(js|css|html|svg|ts)$/.test(file) && statSync(file).size >= 1024)) {
      expect(existsSync(`${path}.gz`)).toBe(true)
    }
  })

  it('uses relative addresses only', () => {
    const page = readFileSync(join(OUT, 'index.html'), 'utf8')
    for (const [, address] of page.matchAll(/(?:src|href)="([^"]*)"/g)) expect(address).toMatch(/^\.\//)
  })
})
