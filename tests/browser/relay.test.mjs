// The relay as Chromium's own WebSocket and EventSource meet it: the scenario that other clients play, too, and a
// stream that is cut off and goes on where it was.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer, request as http } from 'node:http'
import { test } from 'node:test'
import { play } from '../integration/play.mjs'
import { BASE, inject, look } from './page.mjs'

const STEPS = JSON.parse(readFileSync(new URL('../integration/scenario.json', import.meta.url), 'utf8'))

test('the scenario of all websocket clients', () =>
  look(async (page) => {
    await page.exposeFunction('publish', (text) => inject({ text }))
    const url = `${BASE.replace(/^http/, 'ws')}/ws`
    // By the debugger, so that the page's own policy on scripts stays as it is.
    const found = await page.evaluate(`(async () => {
      let socket
      const open = () => (socket = new WebSocket(${JSON.stringify(url)}, ['relay.v1.json']))
      const played = await (${play})(${JSON.stringify(STEPS)}, 'chromium', open, publish)
      return { played, extensions: socket.extensions, protocol: socket.protocol }
    })()`)
    assert.equal(found.played, STEPS.filter((step) => 'do' in step).length)
    assert.match(found.extensions, /permessage-deflate/)
    assert.equal(found.protocol, 'relay.v1.json')
  }))

/** Stands between a browser and the relay, on an origin of its own with an empty page, and can break connections. */
async function between() {
  const open = new Set()
  const server = createServer((request, response) => {
    if (request.url === '/empty') {
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>empty</title>')
      return
    }
    const { url, method, headers } = request
    const passed = http(BASE + url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers)
      answer.pipe(response)
    })
    response.on('close', () => passed.destroy())
    passed.on('error', () => response.destroy())
    passed.end()
  })
  let away = false
  server.on('connection', (socket) => {
    if (away) socket.destroy()
    open.add(socket)
    socket.on('close', () => open.delete(socket))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    leave: () => { away = true; for (const socket of open) socket.destroy() },
    back: () => { away = false },
    close: () => { server.closeAllConnections(); server.close() },
  }
}

test('an EventSource that is cut off resumes by itself and misses nothing', () =>
  look(async (first) => {
    const network = await between()
    try {
      const page = await first.context().newPage()
      await page.goto(`${network.url}/empty`)
      await page.evaluate((path) => {
        const heard = (globalThis.heard = { texts: [], facts: [], errors: 0 })
        const source = new EventSource(path)
        source.addEventListener('streamer.post', ({ data }) => heard.texts.push(JSON.parse(data).data.text))
        source.addEventListener('streamer.subscribed', ({ data }) => heard.facts.push(JSON.parse(data)))
        source.onerror = () => heard.errors++
      }, `/events?topics=${encodeURIComponent('post.*.*.*.#.streamed.#')}`)
      const until = (what, least) =>
        page.waitForFunction(([name, n]) => (heard[name].length ?? heard[name]) >= n, [what, least], { timeout: 30_000 })
      const expected = []
      const say = async (text) => {
        expected.push(`${text} #streamed`)
        await inject({ text: expected.at(-1) })
      }
      await until('facts', 1)
      await say('before')
      await until('texts', 1)
      network.leave()
      await until('errors', 1)
      await say('while it was away')
      await say('and again')
      await until('errors', 2)
      network.back()
      await until('texts', 3)
      await say('after')
      await until('texts', 4)
      const { texts, facts } = await page.evaluate(() => heard)
      assert.deepEqual(texts, expected)
      assert.deepEqual(facts.map(({ recovered }) => recovered), [true, true])
      assert.ok(facts[1].replayed >= 2)
    } finally {
      network.close()
    }
  }))
