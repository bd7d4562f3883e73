/**
 * Streamer's browser client: one websocket to a relay, kept alive, resumed without loss or repeats.
 *
 * This file is both the published description of `client.js` and the types its source is checked against.
 * Speaks the subprotocol `relay.v1.json`. Runs in browsers and in Node 22 and later; needs nothing else.
 */

/** A CloudEvents 1.0 event as the relay sends it; times are RFC 3339. */
export interface CloudEvent<Data = unknown> {
  readonly specversion: string
  readonly id: string
  readonly source: string
  readonly type: string
  readonly topic: string
  readonly time?: string
  readonly subject?: string
  /** When the first byte of it reached us from upstream. */
  readonly received?: string
  /** When the event was made. */
  readonly enriched?: string
  readonly data: Data
}

/** A place in the relay's log, valid on every relay. Opaque: store it, send it back, do not read it. */
export type Position = string

/**
 * - `connecting`: a socket is being opened, or the wait for the next try is short
 * - `catching-up`: connected, history is on its way
 * - `live`: every subscription is confirmed
 * - `stalled`: the socket was open but silent for longer than the relay promised; a new one is being opened
 * - `offline`: several tries failed; `retryAt` says when the next one comes
 * - `closed`: ended for good, by `close()`, by the signal, or because the relay refused (`code`, `cause`)
 */
export type StateName = 'connecting' | 'catching-up' | 'live' | 'stalled' | 'offline' | 'closed'

export interface State {
  readonly name: StateName
  /** ms since the epoch. */
  readonly since: number
  /** Failed tries in a row. */
  readonly tries: number
  /** When the next try comes, ms since the epoch. */
  readonly retryAt?: number
  /** The websocket close code, where there was one. */
  readonly code?: number
  /** For people; also says why where there is no `code`: no websocket could be opened at all, for one. */
  readonly cause?: string
}

/** Events are missing before what comes next: the relay could not go on from the place we asked for. */
export interface Gap {
  readonly reason: string
  /** The place we asked for, if we asked for one. */
  readonly since?: Position
  /** Time of the last event before and the first event after the gap, ms since the epoch, where known. */
  readonly from?: number
  readonly to?: number
}

/** The relay skipped events because this client, or its connection, was too slow. */
export interface Lag {
  readonly skipped: number
  readonly from?: Position
  readonly to?: Position
  readonly why: string
}

export interface Caught {
  /** False where events are missing; a `gap` was emitted too. */
  readonly recovered: boolean
  /** How many past events were sent. */
  readonly replayed: number
}

/** The relay did not do what was asked. `retry` says whether the same request can succeed later. */
export interface Refusal {
  readonly code: string
  readonly message: string
  readonly retry: boolean
}

export type Policy = 'skip' | 'strict' | 'conflate'

export interface SubscribeOptions {
  /** How many past events to begin with. */
  last?: number
  /** Begin after this place; `last` is then what comes if the relay no longer has it. */
  since?: Position
  /** What the relay does when this client cannot keep up. */
  policy?: Policy
}

export interface SubscriptionEvents {
  event: CloudEvent
  gap: Gap
  lag: Lag
  caught: Caught
  error: Refusal
}

/**
 * Topics are AMQP patterns: `*` is one word, `#` is zero or more.
 *
 * Events of the type `streamer.delete` come to every subscription, whatever its topics: `data.id` and `source` name a
 * post that was taken back upstream, and that nobody may go on showing or keeping.
 *
 * So do those of the type `streamer.scrub`, by which an author takes the locations of posts back: `data.author` is the
 * author's id, `data.up_to` the id of the last post covered (compare ids as numbers, with `BigInt`). They stand in the
 * `author` and `post` of `streamer.geo`, and in the `author.id` and `id` of a `streamer.post` that has a `geo`.
 *
 * Events of the type `streamer.gap` (topic `gap.<source>`) say that something was missed upstream, for everybody:
 * `data.from` and `data.to` as RFC 3339, `data.cause` in a word, `data.filled` whether it was fetched after all, and
 * `data.missed` how many, where known. The local `gap` is another thing: what this client missed of the relay.
 */
export interface Subscription {
  readonly id: string
  readonly topics: readonly string[]
  /** Returns the function that takes the listener away again. */
  on<K extends keyof SubscriptionEvents>(kind: K, listener: (value: SubscriptionEvents[K]) => void): () => void
  close(): void
}

export interface LiveEvents {
  state: State
  error: Refusal
  position: Position
}

export interface Live {
  readonly state: State
  /** After the last event seen; `undefined` before the first. */
  readonly position: Position | undefined
  subscribe(topics: string | readonly string[], options?: SubscribeOptions): Subscription
  on<K extends keyof LiveEvents>(kind: K, listener: (value: LiveEvents[K]) => void): () => void
  /** Try again at once instead of waiting. */
  retry(): void
  /** Ends for good. */
  close(): void
}

export interface Options {
  /**
   * Where subscriptions begin that say nothing themselves: `none` (now), `session` (where this tab left off,
   * also after a reload) or a position.
   */
  resume?: 'none' | 'session' | Position
  /** Called at each connection; a JWT for relays that want one. */
  token?: () => string | Promise<string>
  /** Closes the connection when aborted. */
  signal?: AbortSignal
  /** Another websocket class, for tests and for runtimes without one. */
  WebSocket?: new (url: string, protocols?: string | string[]) => WebSocket
}

export declare function connect(url: string | URL, options?: Options): Live

/** Whether `topic` is one that `pattern` asks for. */
export declare function matches(pattern: string, topic: string): boolean
