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
const MOST_DRAIN_MS = 60_000 // of a relay's wish when to come back
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
  /** A draining relay asked not to be disturbed before then, ms since the epoch. */
  #drainUntil = 0
  readonly #wake = () => this.#woken()
  readonly #abort = () => this.close()

  constructor(url: string, options: Options) {
    this.#url = url
    this.#options = options
    this.#memory = new Memory(url, options.resume)
    options.signal?.addEventListener('abort', this.#abort)
    globalThis.addEventListener?.('online', this.#wake)
    globalThis.document?.addEventListener('visibilitychange', this.#wake)
    if (options.signal?.aborted) this.close()
    else queueMicrotask(() => void this.#open()) // so that listeners can be added first
  }

  get state(): State {
    return this.#state
  }

  get #ended(): boolean {
    return this.#state.name === 'closed'
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
    if (this.#timer === undefined || this.#ended) return
    clearTimeout(this.#timer)
    void this.#open()
  }

  close(): void {
    this.#end(undefined, 'closed')
  }

  async #open(): Promise<void> {
    if (this.#ended) return
    this.#timer = undefined
    if (this.#state.name !== 'offline') this.#enter('connecting')
    let token: string | undefined
    try {
      token = await this.#options.token?.()
    } catch (error) {
      return this.#wait(this.#backoff.next(), undefined, `no token: ${String(error)}`)
    }
    if (this.#ended || this.#link) return
    this.#welcomed = 0
    this.#drainUntil = 0
    try {
      this.#link = new Link(this.#url, this.#options.WebSocket ?? WebSocket, {
        opened: () => this.#opened(token),
        frame: (frame) => this.#frame(frame),
        lost: (code, reason, silent) => this.#lost(code, reason, silent),
      })
    } catch (error) {
      // A forbidden port, ws: from an https: page, no WebSocket at all: trying again would not help.
      this.#end(undefined, `no websocket can be opened: ${String(error)}`)
    }
  }

  #opened(token: string | undefined): void {
    // Who says nothing at all is sent away.
    if (token !== undefined || this.#subs.size === 0) this.#link?.send('hello', token === undefined ? {} : { token })
    this.#enter('catching-up')
    for (const sub of this.#subs.values()) this.#ask(sub)
    this.#settle()
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
    if (kind === 'ev' && Array.isArray(second)) this.#deliver(first as Position, second)
    else if (kind === 'pos') this.#pass(first as Position)
    else if (kind === 'subd') this.#caught(first as number, (second ?? {}) as Record<string, unknown>)
    else if (kind === 'lag' && first) this.#lag(first as Lag)
    else if (kind === 'err' && second) this.#refused(first as number, second as Refusal)
    else if (kind === 'welcome') this.#welcome((first ?? {}) as { heartbeat?: number })
    else if (kind === 'draining') this.#drain(Number((first as { in_ms?: number } | undefined)?.in_ms) || 0)
  }

  #welcome({ heartbeat }: { heartbeat?: number }): void {
    this.#welcomed = Date.now()
    if (typeof heartbeat === 'number' && heartbeat > 0) this.#link?.expect(heartbeat * 1000)
  }

  #deliver(position: Position, events: readonly unknown[]): void {
    // While history is sent, positions go back for its sake; those who had it keep their own, further place.
    const behind = [...this.#subs.values()].filter((sub) => sub.replaying)
    for (const event of events.filter(routable)) {
      for (const sub of this.#subs.values()) {
        sub.offer(event)
        if (this.#ended) return // a listener closed the connection
      }
    }
    this.#reach(position, behind.length ? behind : this.#subs.values())
    this.#settle()
  }

  #pass(position: Position): void {
    for (const sub of this.#subs.values()) sub.settle()
    this.#reach(position, this.#subs.values())
    this.#settle()
  }

  #lag(lag: Lag): void {
    for (const sub of this.#subs.values()) sub.emit('lag', lag)
    if (lag.to) this.#pass(lag.to)
  }

  #reach(position: Position, subs: Iterable<Sub>): void {
    if (typeof position !== 'string') return
    for (const sub of subs) sub.reach(position)
    this.#position = position
    this.#memory.keep(position)
    this.#emitter.emit('position', position)
  }

  #caught(number: number, body: Record<string, unknown>): void {
    const sub = this.#asking(number)
    if (!sub) return
    // Beside another's history the relay tells how far that one is.
    const alone = ![...this.#subs.values()].some((other) => other.replaying)
    sub.caught(body, alone)
    this.#reach(body['position'] as Position, [])
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
  #drain(wishMs: number): void {
    const ms = Math.min(Math.max(wishMs, 0), MOST_DRAIN_MS)
    this.#drainUntil = Date.now() + ms
    this.#later(ms, () => {
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
    // Most relays close as soon as they have said that they are draining: their wish holds all the same.
    const ms = Math.max(this.#backoff.next(pace), this.#drainUntil - Date.now())
    this.#wait(ms, code, silent ? 'nothing came from the relay' : said(code, reason), silent)
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
    for (const sub of this.#subs.values()) sub.park()
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
    if (this.#ended) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#drop()
    this.#options.signal?.removeEventListener('abort', this.#abort)
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

/** What can be dealt out at all: one broken event must not cost the others. */
function routable(event: unknown): event is CloudEvent {
  const { id, source, topic } = (event ?? {}) as Partial<Record<keyof CloudEvent, unknown>>
  return typeof id === 'string' && typeof source === 'string' && typeof topic === 'string'
}
