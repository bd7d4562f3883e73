// The scenario of the relay's clients, for anything that has the browser's WebSocket interface: npm's ws here, and
// Chromium's own in ../browser/relay.test.mjs, which takes this function into the page. So it uses nothing from outside.
//
//   node play.mjs RELAY SIMULATION TAG DEFLATE    plays it with ws

/**
 * @param {object[]} steps scenario.json
 * @param {string} tag that no other player has
 * @param {() => WebSocket} open
 * @param {(text: string) => Promise<unknown>} publish
 */
export async function play(steps, tag, open, publish) {
  const DEADLINE = 30_000 // ms
  let socket, frames, events, code, position, deletions, wake
  const fill = (value) => JSON.parse(JSON.stringify(value).replaceAll('$POSITION', position).replaceAll('$T', tag))
  const within = (part, whole) =>
    typeof part === 'object' && part !== null
      ? typeof whole === 'object' && whole !== null && Object.entries(part).every(([key, value]) => within(value, whole[key]))
      : part === whole
  const until = async (true_, what) => {
    const end = Date.now() + DEADLINE
    for (let found; ; ) {
      if ((found = true_()) !== undefined) return found
      if (Date.now() > end) throw new Error(`no ${what()}; code ${code}, frames ${JSON.stringify(frames)}`)
      await new Promise((resolve) => { wake = resolve; setTimeout(resolve, 100) })
    }
  }
  const take = (frame) => {
    const [name, first, second] = frame
    if (name === 'ev') {
      for (const event of second) {
        if (event.type === 'streamer.delete') deletions++
        else events.push(event)
      }
    } else if (name !== 'pos') frames.push(frame)
    if (name === 'ev' || name === 'pos') position = first
    const facts = [first, second].find((one) => typeof one === 'object')
    if (facts?.position !== undefined) position = facts.position
  }
  const doers = {
    open: async () => {
      ;[socket, frames, events, code, deletions] = [open(), [], [], undefined, 0]
      const opened = socket
      opened.onmessage = ({ data }) => { take(JSON.parse(data)); wake?.() }
      opened.onclose = (event) => { if (opened === socket) { code = event.code; wake?.() } }
      await until(() => (socket.readyState === 1 ? true : undefined), () => 'connection')
    },
    say: ({ frame, raw }) => socket.send(raw ?? JSON.stringify(frame)),
    expect: async ({ frame }) => {
      const found = await until(() => frames.shift(), () => `frame ${JSON.stringify(frame)}`)
      if (!within(frame, found)) throw new Error(`${JSON.stringify(found)} came instead of ${JSON.stringify(frame)}`)
    },
    publish: async ({ texts }) => { for (const text of texts) await publish(text) },
    events: async ({ texts }) => {
      const found = await until(
        () => (events.length >= texts.length ? events.splice(0).map(({ data }) => data.text) : undefined),
        () => `events ${texts}, only ${JSON.stringify(events)}`,
      )
      if (!within(texts, found) || found.length !== texts.length) throw new Error(`${found} came instead of ${texts}`)
    },
    deletion: () => until(() => (deletions > 0 ? true : undefined), () => 'deletion'),
    cut: () => { const old = socket; socket = undefined; old.close() },
    closed: async (step) => {
      const found = await until(() => code, () => 'close')
      if (found !== step.code) throw new Error(`closed with ${found} instead of ${step.code}`)
    },
  }
  let played = 0
  for (const step of steps) {
    if (step.do === undefined) continue
    try {
      await doers[step.do](fill(step))
    } catch (error) {
      throw new Error(`${JSON.stringify(step)}: ${error.message}`)
    }
    played++
  }
  if (frames.length || events.length) throw new Error(`left over: ${JSON.stringify([frames, events])}`)
  return played
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { createRequire } = await import('node:module')
  const { readFileSync } = await import('node:fs')
  const WebSocket = createRequire(new URL('../../web/package.json', import.meta.url))('ws')
  const [relay, simulation, tag, deflate] = process.argv.slice(2)
  const steps = JSON.parse(readFileSync(new URL('scenario.json', import.meta.url), 'utf8'))
  let extension
  const open = () => {
    const socket = new WebSocket(relay, ['relay.v1.json'], { perMessageDeflate: deflate === 'yes' })
    socket.on('open', () => { extension = socket.extensions })
    return socket
  }
  const publish = async (text) => {
    const answer = await fetch(`${simulation}/_sim/inject`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ text }),
    })
    if (answer.status !== 200) throw new Error(`inject: ${await answer.text()}`)
  }
  const played = await play(steps, tag, open, publish)
  console.log(JSON.stringify({ played, extension }))
  process.exit(0)
}
