// The connection a page holds: subscriptions that outlive sockets, one socket at a time.

import type {
  CloudEvent,
  Lag,
  Live,
  LiveEvents,
  Options,
  Position,
  Refusal,
  State,
  StateName,
  SubscribeOptions,
} from './client.d.ts'
import { Backoff } from './backoff.ts'
import { said, verdict } from './closing.ts'
import { Emitter } from './emitter.ts'
import { Link, type Frame } from './link.ts'
import { Memory } from './memory.ts'
import { Sub } from './subscription.ts'

const STEADY_MS = 5_000 // a connection that held this long counts as a success
const OFFLINE_AFTER = 3 // failed tries
const ASK_AGAIN_MS = 5_000 // after a refusal that may pass

export class Connection implements Live {
  readonly #url: string
  readonly #options: Options
  readonly #emitter = new Emitter<LiveEvents>()
  readonly #backoff = new Backoff()
  readonly #memory: Memory
  readonly #subs = new Map<string, Sub>()
  #link: Link | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #chores = new Set<ReturnType<typeof setTimeout>>()
  #welcomed = 0
  #numbers = 0
  #names = 0
  #position: Position | undefined
  #state: State = { name: 'connecting', since: Date.now(), tries: 0 }
  readonly #wake = () => this.#woken()

  constructor(url: string, options: Options) {
    this.#url = url
    this.#options = options
    this.#memory = new Memory(url, options.resume)
    options.signal?.addEventListener('abort', () => this.close())
    globalThis.addEventListener?.('online', this.#wake)
    globalThis.document?.addEventListener('visibilitychange', this.#wake)
    if (options.signal?.aborted) this.close()
    else queueMicrotask(() => void this.#open()) // so that listeners can be added first
  }

  get state(): State {
    return this.#state
  }

  get position(): Position | undefined {
    return this.#position
  }

  on<K extends keyof LiveEvents>(kind: K, listener: (value: LiveEvents[K]) => void): () => void {
    return this.#emitter.on(kind, listener)
  }

  subscribe(topics: string | readonly string[], options: SubscribeOptions = {}): Sub {
    const since = options.since ?? (options.last === undefined ? this.#memory.start : undefined)
    const chosen = since === undefined ? options : { ...options, since }
    const list = typeof topics === 'string' ? [topics] : [...topics]
    const sub = new Sub(`s${++this.#names}`, list, chosen, (left) => this.#leave(left))
    this.#subs.set(sub.id, sub)
    if (this.#state.name === 'catching-up' || this.#state.name === 'live') this.#ask(sub)
    return sub
  }

  retry(): void {
    if (this.#timer === undefined || this.#state.name === 'closed') return
    clearTimeout(this.#timer)
    void this.#open()
  }

  close(): void {
    this.#end(undefined, 'closed')
  }

  async #open(): Promise<void> {
    if (this.#state.name === 'closed') return
    this.#timer = undefined
    if (this.#state.name !== 'offline') this.#enter('connecting')
    let token: string | undefined
    try {
      token = await this.#options.token?.()
    } catch (error) {
      return this.#wait(this.#backoff.next(), undefined, `no token: ${String(error)}`)
    }
    if ((this.#state.name as StateName) === 'closed' || this.#link) return
    this.#welcomed = 0
    this.#link = new Link(this.#url, this.#options.WebSocket ?? WebSocket, {
      opened: () => {
        if (token !== undefined) this.#link?.send('hello', { token })
        this.#enter('catching-up')
        for (const sub of this.#subs.values()) this.#ask(sub)
        this.#settle()
      },
      frame: (frame) => this.#frame(frame),
      lost: (code, reason, silent) => this.#lost(code, reason, silent),
    })
  }

  #ask(sub: Sub): void {
    sub.asked = ++this.#numbers
    this.#link?.send('sub', sub.asked, sub.request())
    if (this.#state.name === 'live') this.#enter('catching-up')
  }

  #leave(sub: Sub): void {
    if (!this.#subs.delete(sub.id)) return
    this.#link?.send('unsub', ++this.#numbers, sub.id)
    this.#settle()
  }

  #frame([kind, first, second]: Frame): void {
    if (kind === 'ev') this.#deliver(first as Position, second as CloudEvent[])
    else if (kind === 'pos') this.#pass(first as Position)
    else if (kind === 'subd') this.#caught(first as number, second as Record<string, unknown>)
    else if (kind === 'lag') this.#lag(first as Lag)
    else if (kind === 'err') this.#refused(first as number, second as Refusal)
    else if (kind === 'welcome') this.#welcome(first as { heartbeat?: number })
    else if (kind === 'draining') this.#drain(Number((first as { in_ms?: number }).in_ms ?? 0))
  }

  #welcome({ heartbeat }: { heartbeat?: number }): void {
    this.#welcomed = Date.now()
    if (typeof heartbeat === 'number' && heartbeat > 0) this.#link?.expect(heartbeat * 1000)
  }

  #deliver(position: Position, events: readonly CloudEvent[]): void {
    for (const event of events) for (const sub of this.#subs.values()) sub.offer(event)
    this.#reach(position)
    this.#settle()
  }

  #pass(position: Position): void {
    for (const sub of this.#subs.values()) sub.settle()
    this.#reach(position)
    this.#settle()
  }

  #lag(lag: Lag): void {
    for (const sub of this.#subs.values()) sub.emit('lag', lag)
    if (lag.to) this.#pass(lag.to)
  }

  #reach(position: Position): void {
    this.#position = position
    this.#memory.keep(position)
    this.#emitter.emit('position', position)
  }

  #caught(number: number, body: Record<string, unknown>): void {
    const sub = this.#asking(number)
    if (!sub) return
    if (typeof body['position'] === 'string') this.#reach(body['position'])
    sub.caught(body)
    this.#settle()
  }

  #refused(number: number, refusal: Refusal): void {
    const sub = this.#asking(number)
    if (sub) {
      sub.asked = undefined
      sub.emit('error', refusal)
      if (refusal.retry) this.#later(ASK_AGAIN_MS, () => this.#subs.has(sub.id) && this.#ask(sub))
      this.#settle()
    }
    this.#emitter.emit('error', refusal)
  }

  #asking(number: number): Sub | undefined {
    for (const sub of this.#subs.values()) if (sub.asked === number) return sub
    return undefined
  }

  #settle(): void {
    if (this.#state.name !== 'catching-up') return
    for (const sub of this.#subs.values()) if (!sub.settled) return
    this.#enter('live')
  }

  /** The relay is about to stop, and gives each client another moment to go. */
  #drain(inMs: number): void {
    this.#later(inMs, () => {
      this.#drop()
      void this.#open()
    })
  }

  #lost(code: number, reason: string, silent: boolean): void {
    this.#drop()
    if (this.#welcomed && Date.now() - this.#welcomed > STEADY_MS) this.#backoff.reset()
    const what = verdict(code)
    const renewable = what === 'token' && this.#options.token && this.#backoff.tries === 0
    if (what === 'final' || (what === 'token' && !renewable)) return this.#end(code, said(code, reason))
    const pace = what === 'slow' || what === 'restart' ? what : 'retry'
    this.#wait(this.#backoff.next(pace), code, silent ? 'nothing came from the relay' : said(code, reason), silent)
  }

  #wait(ms: number, code: number | undefined, cause: string, silent = false): void {
    const name = this.#backoff.tries >= OFFLINE_AFTER ? 'offline' : silent ? 'stalled' : 'connecting'
    this.#enter(name, { retryAt: Date.now() + ms, cause, ...(code === undefined ? {} : { code }) })
    this.#timer = setTimeout(() => void this.#open(), ms)
  }

  #drop(): void {
    this.#link?.close()
    this.#link = undefined
    for (const chore of this.#chores) clearTimeout(chore)
    this.#chores.clear()
    for (const sub of this.#subs.values()) sub.park(this.#position)
  }

  /** Does something later, unless this link is gone by then. */
  #later(ms: number, act: () => void): void {
    const chore = setTimeout(() => {
      this.#chores.delete(chore)
      act()
    }, ms)
    this.#chores.add(chore)
  }

  #end(code: number | undefined, cause: string): void {
    if (this.#state.name === 'closed') return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#drop()
    globalThis.removeEventListener?.('online', this.#wake)
    globalThis.document?.removeEventListener('visibilitychange', this.#wake)
    this.#enter('closed', { cause, ...(code === undefined ? {} : { code }) })
  }

  #woken(): void {
    if (globalThis.document?.visibilityState === 'hidden') return
    if (this.#timer === undefined) this.#link?.probe()
    else this.retry()
  }

  #enter(name: StateName, more: Partial<State> = {}): void {
    const since = name === this.#state.name ? this.#state.since : Date.now()
    this.#state = { ...more, name, since, tries: this.#backoff.tries }
    this.#emitter.emit('state', this.#state)
  }
}
