// The page's engine: events in, models kept, one beat four times a second on which everything is drawn.

import type { CloudEvent, Live, State, Subscription } from '../client/client.d.ts'
import { Announcer } from '../model/announcer.ts'
import { Blips } from '../model/blips.ts'
import { Feed } from '../model/feed.ts'
import { FLUSHES_PER_S } from '../model/flow.ts'
import { Hold, type Cause } from '../model/hold.ts'
import { Places, WINDOW_MS } from '../model/places.ts'
import { Pulse } from '../model/pulse.ts'
import { dict } from '../model/reading.ts'
import { gapRow, keyOf, lagRow, placeless, rowOf, sourceOf, type GapRow, type Row } from '../model/row.ts'
import { scrubOf, Scrubs } from '../model/scrubs.ts'
import { Sources } from '../model/sources.ts'
import { spotOf } from '../model/spot.ts'
import { status, type Facts } from '../model/status.ts'
import { words } from '../model/words.ts'

export const TOPICS = ['post.#', 'change.#', 'geo.#', 'delete.#', 'gap.#'] as const
const HISTORY = 100 // events to begin with
const MOST_NAMES = 40 // languages offered in the filter

export class Session extends EventTarget {
  readonly feed = new Feed()
  readonly hold = new Hold()
  readonly blips = new Blips()
  readonly places = new Places()
  readonly pulse = new Pulse()
  readonly announcer = new Announcer()
  readonly sources = new Sources()
  readonly langs = new Set<string>()
  readonly #live: Live
  readonly #scrubs = new Scrubs()
  /** The reader was told that there is no connection, and waits to hear that there is one again. */
  #away = false
  #timer: ReturnType<typeof setInterval> | undefined

  constructor(live: Live) {
    super()
    this.#live = live
    const sub: Subscription = live.subscribe(TOPICS, { last: HISTORY, policy: 'skip' })
    sub.on('event', (event) => this.#take(event))
    sub.on('lag', (lag) => {
      this.feed.ledger.lose(lag.skipped)
      this.#miss(lagRow(lag, Date.now()))
    })
    sub.on('gap', (gap) => this.#miss(gapRow(gap, Date.now())))
    live.on('state', (state) => this.#entered(state))
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#beat(), 1000 / FLUSHES_PER_S)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#live.close()
  }

  /** Everything the header needs to know. */
  get facts(): Facts {
    const now = Date.now()
    return { state: this.#live.state, hold: this.hold.cause, behindMs: this.pulse.behind(now), now }
  }

  /** Nothing moves on the page, the map included. */
  get still(): boolean {
    return this.hold.paused || this.hold.cause === 'hidden'
  }

  holdFor(cause: Cause, on: boolean): void {
    const now = Date.now()
    this.hold.set(cause, on, now)
    if (cause === 'paused') this.announcer.say(on ? words.saidPaused : words.saidResumed, now, 'urgent')
    if (cause === 'paused' && !on) this.showAll()
    else this.#changed()
  }

  showAll(): void {
    this.hold.releaseReading()
    this.feed.showAll()
    this.#changed()
  }

  retry(): void {
    this.#live.retry()
  }

  #take(event: CloudEvent): void {
    const now = Date.now()
    if (event.type === 'streamer.delete') return this.#forget(event)
    if (event.type === 'streamer.scrub') return this.#scrub(event)
    const spot = spotOf(event)
    if (spot) {
      if (this.#scrubs.cover(spot.whose) || this.feed.forgot(spot.key)) return
      // History may be older than what the map shows; who does not say when is taken at its arrival.
      const at = Date.parse(event.time ?? '') - this.pulse.skew || now
      if (now - at > WINDOW_MS) return
      this.places.add(spot.country, at, now)
      if (!this.still) this.blips.add(spot, now)
      return
    }
    const row = this.#read(event, now)
    if (!row) return
    if (row.kind !== 'gap') {
      const received = Date.parse(event.received ?? '')
      // History says nothing about the rate and the delay.
      if (this.#live.state.name === 'live') this.pulse.beat(now, received)
      this.sources.see(row.source, row.kind, Math.min(now, received - this.pulse.skew || now))
      if (row.kind === 'post' && row.lang && this.langs.size < MOST_NAMES) this.langs.add(row.lang)
    }
    this.feed.add(row)
  }

  /** The row for an event; one that cannot be read must not stop the others. */
  #read(event: CloudEvent, now: number): Row | undefined {
    try {
      const row = rowOf(event, now)
      return row?.kind === 'post' && this.#scrubs.cover(row.whose) ? placeless(row) : row
    } catch {
      this.feed.refuse()
      return undefined
    }
  }

  #miss(row: GapRow): void {
    this.feed.add(row)
    this.announcer.say(row.title, Date.now(), 'loss')
  }

  #forget(event: CloudEvent): void {
    const key = keyOf(sourceOf(event), dict(event.data)['id'])
    this.feed.remove(key)
    this.blips.remove(key)
  }

  #scrub(event: CloudEvent): void {
    const scrub = scrubOf(event, sourceOf(event))
    if (!scrub) return
    this.#scrubs.add(scrub)
    this.feed.scrub(scrub)
    this.blips.scrub(scrub)
  }

  #entered(state: State): void {
    if (state.name !== 'live') this.pulse.forget()
    const said = status({ ...this.facts, hold: undefined })
    const worthIt = state.name === 'live' || state.name === 'offline' || state.name === 'closed'
    if (worthIt) {
      const prompt = state.name !== 'live' || this.#away
      this.#away = state.name !== 'live'
      this.announcer.say(`${said.label} ${state.name === 'live' ? '' : said.detail}`.trim(), Date.now(), prompt ? 'urgent' : 'news')
    }
    this.#changed()
  }

  #beat(): void {
    const now = Date.now()
    if (!this.hold.holds(now)) this.feed.flush()
    this.announcer.tick(now)
    this.#changed()
  }

  #changed(): void {
    this.dispatchEvent(new Event('beat'))
  }
}
