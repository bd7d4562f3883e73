// Clients of the built library, as a program of somebody's would use it. Arguments: client.js, the relay's URL, how many.
// Says "live" when all are; on the line "report" it prints what each saw, and ends with its input.
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [library, url, count] = process.argv.slice(2)
const { connect } = await import(pathToFileURL(library))

const clients = Array.from({ length: Number(count) }, () => {
  const seen = { events: [], troubles: [], lives: [], codes: [] }
  const live = connect(url)
  live.on('state', ({ name, code }) => {
    if (name === 'live') seen.lives.push(Date.now())
    if (code !== undefined) seen.codes.push(code)
    if (clients.every(({ lives }) => lives.length) && !told) {
      told = true
      console.log('live')
    }
  })
  const sub = live.subscribe('post.#')
  sub.on('event', ({ data }) => seen.events.push(data.n))
  for (const trouble of ['gap', 'lag', 'error']) sub.on(trouble, (what) => seen.troubles.push([trouble, what]))
  return seen
})
let told = false
setTimeout(() => process.exit(1), 120_000).unref() // whoever waits for us is not to wait for ever

const input = createInterface(process.stdin)
input.on('line', () => console.log(JSON.stringify(clients)))
input.on('close', () => process.exit(0))
