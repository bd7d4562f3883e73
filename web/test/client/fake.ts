// A websocket that tests hold both ends of.

import { afterEach, beforeEach, expect, vi } from 'vitest'
import { connect } from '../../src/client/index.ts'
import type { Live, Options } from '../../src/client/client.d.ts'

export class FakeSocket {
  static made: FakeSocket[] = []
  readyState = 0
  protocol = ''
  sent: unknown[][] = []
  closed: number | undefined
  onopen: (() => void) | null = null
  onmessage: ((message: { data: unknown }) => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  readonly url: string
  readonly protocols: readonly string[]

  constructor(url: string, protocols: readonly string[] = []) {
    this.url = url
    this.protocols = protocols
    FakeSocket.made.push(this)
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as unknown[])
  }

  close(code: number): void {
    this.closed = code
    this.readyState = 3
  }

  open(protocol = 'relay.v1.json'): this {
    this.readyState = 1
    this.protocol = protocol
    this.onopen?.()
    return this
  }

  say(...frame: unknown[]): this {
    this.onmessage?.({ data: JSON.stringify(frame) })
    return this
  }

  raw(data: unknown): this {
    this.onmessage?.({ data })
    return this
  }

  /** Confirms every subscription that was asked for. */
  confirm(body: Record<string, unknown> = {}): this {
    this.say('welcome', { session: 's', position: 'v1.-.0', heartbeat: 25, limits: {} })
    for (const [kind, n, asked] of this.sent) {
      if (kind === 'sub') this.say('subd', n, { id: (asked as { id: string }).id, recovered: true, replayed: 0, position: 'v1.a.1', ...body })
    }
    return this
  }

  fail(code: number, reason = ''): this {
    this.readyState = 3
    this.onclose?.({ code, reason })
    return this
  }

  subs(): Record<string, unknown>[] {
    return this.sent.filter(([kind]) => kind === 'sub').map(([, , body]) => body as Record<string, unknown>)
  }
}

let lives: Live[] = []

/** Time, chance and sockets in the tests' hands; and every connection cleaned up after. */
export function withFakes(): void {
  beforeEach(() => {
    vi.useFakeTimers({ now: 1_800_000_000_000 })
    vi.spyOn(Math, 'random').mockReturnValue(0.5)
    FakeSocket.made = []
    lives = []
    sessionStorage.clear()
  })

  afterEach(() => {
    for (const live of lives) live.close()
    expect(vi.getTimerCount()).toBe(0) // who starts a timer stops it
    vi.restoreAllMocks()
    vi.useRealTimers()
  })
}

export function open(options: Options = {}): Live {
  const live = connect('ws://relay.test/ws', { WebSocket: FakeSocket as never, ...options })
  lives.push(live)
  return live
}

/** The ids of the events that a new subscription gets. */
export function ids(live: Live, topics = 'post.#', options = {}): string[] {
  const got: string[] = []
  live.subscribe(topics, options).on('event', ({ id }) => got.push(id))
  return got
}

/** Lets promises settle. */
export async function breathe(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0)
}

export async function socket(nth = -1): Promise<FakeSocket> {
  await breathe()
  const found = FakeSocket.made.at(nth)
  if (!found) throw new Error('no socket was opened')
  return found
}

export function event(id: string, topic = 'post.birds.en.jack', source = '/sources/birds'): Record<string, unknown> {
  return { specversion: '1.0', id, source, type: 'streamer.post', topic, time: '2026-11-21T04:00:00.000Z', data: {} }
}
