// What one part of a page asked for, and how far it has come.

import type { CloudEvent, Gap, Position, SubscribeOptions, Subscription, SubscriptionEvents } from './client.d.ts'
import { Emitter } from './emitter.ts'
import { Seen } from './seen.ts'
import { matches } from './topics.ts'

const TAKING_BACK = new Set(['streamer.delete', 'streamer.scrub'])

export class Sub implements Subscription {
  readonly id: string
  readonly topics: readonly string[]
  /** The number of the request that is not answered yet. */
  asked: number | undefined
  /** The relay has confirmed it on this connection. */
  ready = false
  /** Past events that are still to come. */
  #due = 0
  readonly #options: SubscribeOptions
  readonly #emitter = new Emitter<SubscriptionEvents>()
  readonly #seen = new Seen()
  readonly #leave: (sub: Sub) => void
  #since: Position | undefined
  #lastTime: number | undefined

  constructor(id: string, topics: readonly string[], options: SubscribeOptions, leave: (sub: Sub) => void) {
    this.id = id
    this.topics = topics
    this.#options = options
    this.#since = options.since
    this.#leave = leave
  }

  on<K extends keyof SubscriptionEvents>(kind: K, listener: (value: SubscriptionEvents[K]) => void): () => void {
    return this.#emitter.on(kind, listener)
  }

  emit<K extends keyof SubscriptionEvents>(kind: K, value: SubscriptionEvents[K]): void {
    this.#emitter.emit(kind, value)
  }

  close(): void {
    this.#leave(this)
  }

  /** The body of the request, which goes on from where this subscription left off. */
  request(): Record<string, unknown> {
    const { last, policy } = this.#options
    return { id: this.id, topics: this.topics, last, since: this.#since, policy }
  }

  /** Takes an event if it was asked for and is new. What takes back concerns everybody: who has it must lose it. */
  offer(event: CloudEvent): void {
    if (!TAKING_BACK.has(event.type) && !this.topics.some((pattern) => matches(pattern, event.topic))) return
    if (this.#due > 0) this.#due--
    if (!this.#seen.add(event.source, event.id)) return
    this.emit('event', event)
    const time = Date.parse(event.time ?? '')
    if (!Number.isNaN(time)) this.#lastTime = time
  }

  caught(body: { recovered?: unknown; replayed?: unknown; reason?: unknown; position?: unknown }, alone: boolean): void {
    this.asked = undefined
    this.ready = true
    const recovered = body.recovered !== false
    if (!recovered) this.emit('gap', this.#gap(String(body.reason ?? 'unknown')))
    this.#due = Number(body.replayed ?? 0)
    const own = alone || !recovered || this.#since === undefined
    if (own && typeof body.position === 'string') this.reach(body.position)
    this.emit('caught', { recovered, replayed: this.#due })
  }

  /** Neither an answer nor history is outstanding. */
  get settled(): boolean {
    return this.asked === undefined && this.#due === 0
  }

  /** History is on its way. */
  get replaying(): boolean {
    return this.#due > 0
  }

  /** All that was asked for before `position` has come; the next request starts there. */
  reach(position: Position): void {
    if (this.ready) this.#since = position
  }

  /** The relay says that all there was has been sent, or will never be. */
  settle(): void {
    this.#due = 0
  }

  /** The connection is gone. */
  park(): void {
    this.asked = undefined
    this.#due = 0
    this.ready = false
  }

  #gap(reason: string): Gap {
    return {
      reason,
      ...(this.#since === undefined ? {} : { since: this.#since }),
      ...(this.#lastTime === undefined ? {} : { from: this.#lastTime, to: Date.now() }),
    }
  }
}
