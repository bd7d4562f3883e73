// A headless Chromium looking at the page, and a watch for everything that must never happen there.
//
// STREAMER_URL         the page's address, with the whole product behind it
// STREAMER_SIMULATION  the simulated upstream's control address: POST <it>/_sim/inject
// STREAMER_SCREENSHOT  where to put a picture for the README, if anywhere
// STREAMER_CHROMIUM    another browser than Debian's

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const require = createRequire(new URL('../../web/package.json', import.meta.url))
const { chromium } = require('playwright-core')
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

export const BASE = needed('STREAMER_URL')
const SIMULATION = needed('STREAMER_SIMULATION')
const OUT = new URL('out/', import.meta.url).pathname
const BROWSERS = [process.env.STREAMER_CHROMIUM, '/usr/bin/chromium-headless-shell', '/usr/bin/chromium']
const ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
]

function needed(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set; run these tests through pytest, which starts the product first`)
  return value.replace(/\/$/, '')
}

/**
 * Opens the page, lets `act` use it, and asserts that nothing forbidden happened meanwhile: no error on the console,
 * no dialog, no violation of the content security policy, no request to another origin.
 *
 * @param {(page: import('playwright-core').Page, relay: Awaited<ReturnType<typeof tap>>) => Promise<void>} act
 * @param {object} [looks] options of playwright's browser context; `tapped` to stand between page and relay, `calm` to
 *   leave the flow as readers find it,
 *   `refused` for what the console is expected to say, `at` for the address's hash, `stored: false` for a browser that
 *   forbids storage, `waits: false` where the filter lets no real post pass
 */
export async function look(act, { tapped = false, calm = false, refused = /^$/, at = '', stored = true, waits = true, ...looks } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'streamer-browser-'))
  const executablePath = BROWSERS.find((path) => path && existsSync(path))
  assert.ok(executablePath, 'no Chromium found; install Debian’s chromium-headless-shell or set STREAMER_CHROMIUM')
  const context = await chromium.launchPersistentContext(profile, {
    executablePath, args: ARGS, headless: true, viewport: { width: 1280, height: 800 }, colorScheme: 'light', ...looks,
  })
  const wrong = []
  try {
    const page = context.pages()[0] ?? (await context.newPage())
    const origin = new URL(BASE).host
    page.on('pageerror', (error) => wrong.push(`error: ${error.message}`))
    page.on('console', (message) => {
      const bad = message.type() === 'error' || message.type() === 'warning'
      if (bad && !refused.test(message.text())) wrong.push(`${message.type()}: ${message.text()}`)
    })
    page.on('dialog', (dialog) => {
      wrong.push(`dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
    page.on('request', (request) => {
      const { protocol, host } = new URL(request.url())
      if (protocol !== 'data:' && host !== origin) wrong.push(`request to ${request.url()}`)
    })
    page.on('websocket', (socket) => {
      if (new URL(socket.url()).host !== origin) wrong.push(`websocket to ${socket.url()}`)
    })
    await page.addInitScript(([everything, allowed]) => {
      for (const name of allowed ? [] : ['localStorage', 'sessionStorage']) {
        Object.defineProperty(window, name, { get() { throw new DOMException('denied', 'SecurityError') } })
      }
      // A calm page does not show every post, and most tests wait for one of their own.
      if (everything && allowed) localStorage.setItem('streamer flow', 'all')
      globalThis.violations = []
      document.addEventListener('securitypolicyviolation', (event) => {
        globalThis.violations.push(`${event.violatedDirective}: ${event.blockedURI}`)
      })
    }, [!calm, stored])
    const relay = tapped ? await tap(page) : undefined
    await page.goto(`${BASE}/${at}`)
    if (waits) await rows(page, 1)
    else await page.waitForSelector('.status[data-tone="live"]')
    await act(page, relay)
    wrong.push(...(await page.evaluate(() => globalThis.violations)))
  } finally {
    await context.close()
    rmSync(profile, { recursive: true, force: true })
  }
  assert.deepEqual(wrong, [])
}

/** Waits until the feed has at least so many posts. */
export async function rows(page, least) {
  await page.waitForFunction((n) => document.querySelectorAll('article.post').length >= n, least, { timeout: 30_000 })
}

/** The figures of the account at the foot of the page. */
export function account(page) {
  return page.evaluate(() =>
    Object.fromEntries(
      [...document.querySelectorAll('[data-count]')].map((part) => [
        part.dataset.count,
        Number(part.querySelector('b').textContent.replace(/\D/g, '')),
      ]),
    ),
  )
}

/** Has the upstream send a post; returns its id. */
export async function inject(fields) {
  const answer = await fetch(`${SIMULATION}/_sim/inject`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(fields),
  })
  assert.equal(answer.status, 200, `inject: ${await answer.clone().text()}`)
  return (await answer.json()).id
}

/**
 * Stands between the page and the relay, so that a test can add frames which the simulated upstream does not cause.
 * Call it before the page is loaded; the returned function says frames in the relay's name.
 */
export async function tap(page) {
  let say
  let position = 'v1.-.0'
  await page.routeWebSocket(/\/ws$/, (socket) => {
    const relay = socket.connectToServer()
    relay.onMessage((text) => {
      const [kind, first] = JSON.parse(text)
      if (kind === 'ev' || kind === 'pos') position = first
      socket.send(text)
    })
    say = (...events) => socket.send(JSON.stringify(['ev', position, events]))
    say.frame = (...frame) => socket.send(JSON.stringify(frame))
  })
  return { events: (...events) => say(...events), frame: (...frame) => say.frame(...frame) }
}

let made = 0

/** An event as the relay would send it. */
export function event(type, topic, data, source = 'test') {
  const time = new Date().toISOString()
  return {
    specversion: '1.0', id: `${type}:test-${++made}`, source: `/sources/${source}`, type: `streamer.${type}`, topic, time,
    received: time, enriched: time, datacontenttype: 'application/json', data,
  }
}

export function post(id, more) {
  const data = { id, author: { id: '1', handle: 'tester', name: 'Tester' }, text: '', facets: [], tags: [], media: [] }
  return event('post', 'post.test.en.tester', { ...data, ...more })
}

export function change(source, more) {
  return event('change', `change.${source}.edit.-.-`, { id: `c${made}`, action: 'edit', ...more }, source)
}

const WIKI = 'en.wikipedia.org'

/** What a house that follows many things sends: edits in bursts, pushes, entries, a hook, and posts between them. */
export function mixture() {
  const edit = (scope, title, name, summary) =>
    change('wiki', { scope, title, url: `https://${scope}/wiki/${encodeURIComponent(title)}`, actor: { id: name, handle: name }, summary })
  const push = (scope, title, name, action = 'push') =>
    change('github', { action, scope, title, url: `https://github.com/${scope}/commit/1`, actor: { id: '1', handle: name, url: `https://github.com/${name}` } })
  return [
    post(`mixed-1-${made}`, { text: 'The ferry is late again #harbour', author: { id: '2', handle: 'aroha', name: 'Aroha Tamati' }, lang: 'en' }),
    edit(WIKI, 'Kākāpō', 'Moho', 'Reverted edits by 203.0.113.9 (talk) to last version by Weka'),
    edit(WIKI, 'List of flightless birds', 'Weka', '/* Parrots */ cite the recovery programme'),
    edit(WIKI, 'Ōkārito', 'Moho', ''),
    edit('ar.wikipedia.org', 'كاكابو', 'طائر', 'إصلاح وصلة داخلية'),
    edit('www.wikidata.org', 'Q188005', 'QuickBot', '/* wbsetlabel-add:1|mi */ Kākāpō'),
    push('twisted/twisted', 'Close the transport before the protocol is told that it is lost, and say so in the documentation of both', 'octocat'),
    post(`mixed-2-${made}`, { text: 'すばらしい朝です。散歩に行きましょう。', lang: 'ja', author: { id: '3', handle: 'hana', name: '花' } }),
    push('example/a-repository-with-a-rather-long-name', 'v2.4.0', 'releasebot', 'release'),
    change('news', {
      action: 'entry', scope: 'feeds.example', title: 'Harbour board approves the new breakwater after a year of hearings', url: 'https://feeds.example/1',
      summary: 'The board voted four to three on Thursday evening. Work begins in the spring and is to last two years; the ferries go from the old pier meanwhile, and parking is to be had behind the fish market.',
    }),
    change('deploys', { action: 'deployed', scope: 'shop', title: 'shop 412 to production' }),
    post(`mixed-3-${made}`, { text: 'Kia ora! Who is going to the market on Saturday?', lang: 'en', author: { id: '4', handle: 'wiremu', name: 'Wiremu' } }),
  ]
}

/** Shows these, and nothing after them. */
export async function still(page, relay, events) {
  await page.click('.pause')
  await page.waitForSelector('.status[data-tone="held"]')
  const { sent } = await account(page)
  relay.events(...events)
  await page.waitForFunction((n) => Number(document.querySelector('[data-count=sent] b').textContent.replace(/\D/g, '')) >= n, sent + events.length)
  await page.click('.pause')
  await page.click('.pause')
  await page.waitForSelector('.status[data-tone="held"]')
}

export async function shoot(page, name) {
  mkdirSync(OUT, { recursive: true })
  await page.screenshot({ path: join(OUT, `${name}.png`) })
}

/** What axe finds wrong, in short. */
export async function faults(page) {
  // Evaluated through the debugger, so that the page's own policy on scripts stays as it is.
  await page.evaluate(AXE)
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }))
  return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary}`).join(' | ')}`)
}
