// One websocket and the watch over it. A link is used once; who wants another connection makes another link.

export const PROTOCOL = 'relay.v1.json'
const GRACE_MS = 10_000 // on top of the heartbeat, before silence counts as loss
const PROBE_MS = 5_000 // how long an answer to a ping may take after the device woke up
const HEARTBEAT_MS = 25_000 // until the relay says otherwise

export type Frame = readonly [kind: string, ...rest: unknown[]]

export interface Handlers {
  opened(): void
  frame(frame: Frame): void
  /** Called once, unless `close` was called before. `silent`: the socket was open and nothing came. */
  lost(code: number, reason: string, silent: boolean): void
}

type SocketClass = new (url: string, protocols?: string | string[]) => WebSocket

export class Link {
  #heartbeat = HEARTBEAT_MS
  readonly #socket: WebSocket
  readonly #handlers: Handlers
  #watch: ReturnType<typeof setTimeout> | undefined
  #heard = Date.now()
  #pings = 0
  #probing = false
  #done = false

  /** Throws what the socket's constructor throws: a forbidden or malformed address. */
  constructor(url: string, Socket: SocketClass, handlers: Handlers) {
    this.#handlers = handlers
    this.#socket = new Socket(url, [PROTOCOL])
    this.#socket.onopen = () => this.#opened()
    this.#socket.onmessage = (message) => this.#message(message.data)
    this.#socket.onclose = (event) => this.#lose(event.code, event.reason, false)
    this.#arm(this.#heartbeat + GRACE_MS)
  }

  send(...frame: Frame): void {
    if (this.#socket.readyState === 1) this.#socket.send(JSON.stringify(frame))
  }

  /** The relay promised a frame at least this often. */
  expect(everyMs: number): void {
    this.#heartbeat = everyMs
    this.#arm(everyMs + GRACE_MS)
  }

  /** The device may have slept: ask, and take silence as loss sooner than usual. */
  probe(): void {
    if (Date.now() - this.#heard > this.#heartbeat + GRACE_MS) return this.#lose(1006, '', true)
    if (this.#probing) return // one question at a time, and the first one's deadline stands
    this.#probing = true
    this.send('ping', ++this.#pings)
    this.#arm(PROBE_MS)
  }

  close(): void {
    if (this.#done) return
    this.#done = true
    clearTimeout(this.#watch)
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null
    this.#socket.close(1000)
  }

  #opened(): void {
    if (this.#socket.protocol === PROTOCOL) this.#handlers.opened()
    else this.#lose(4010, '', false)
  }

  #message(text: unknown): void {
    this.#heard = Date.now()
    this.#probing = false
    this.#arm(this.#heartbeat + GRACE_MS)
    const frame = parse(text)
    if (frame) this.#handlers.frame(frame)
  }

  #arm(ms: number): void {
    clearTimeout(this.#watch)
    if (!this.#done) this.#watch = setTimeout(() => this.#lose(1006, '', true), ms)
  }

  #lose(code: number, reason: string, silent: boolean): void {
    if (this.#done) return
    this.close()
    this.#handlers.lost(code, reason, silent)
  }
}

function parse(text: unknown): Frame | undefined {
  if (typeof text !== 'string') return undefined
  try {
    const frame: unknown = JSON.parse(text)
    return Array.isArray(frame) && typeof frame[0] === 'string' ? (frame as unknown as Frame) : undefined
  } catch {
    return undefined
  }
}
