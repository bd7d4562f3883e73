import { describe, expect, it, vi } from 'vitest'
import type { Gap, State } from '../../src/client/client.d.ts'
import { FakeSocket, breathe, event, ids, open, socket, withFakes } from './fake.ts'

withFakes()

describe('connecting', () => {
  it('asks for the protocol and for what is subscribed, and is live when that is confirmed', async () => {
    const live = open()
    const states: string[] = []
    live.on('state', ({ name }) => states.push(name))
    live.subscribe(['post.#', 'geo.#'], { last: 50, policy: 'skip' })
    const s = await socket()
    expect(s.protocols).toEqual(['relay.v1.json'])
    s.open()
    expect(s.sent).toEqual([['sub', 1, { id: 's1', topics: ['post.#', 'geo.#'], last: 50, policy: 'skip' }]])
    s.confirm()
    expect(states).toEqual(['connecting', 'catching-up', 'live'])
  })

  it('is catching up until the last past event has come', async () => {
    const live = open()
    live.subscribe('post.#', { last: 2 })
    const s = (await socket()).open().confirm({ replayed: 2 })
    expect(live.state.name).toBe('catching-up')
    s.say('ev', 'v1.a.2', [event('1')])
    expect(live.state.name).toBe('catching-up')
    s.say('ev', 'v1.a.3', [event('2')])
    expect(live.state.name).toBe('live')
  })

  it('says hello first where there is a token, and asks for a new one at each connection', async () => {
    let n = 0
    const live = open({ token: async () => `token ${++n}` })
    live.subscribe('post.#')
    ;(await socket()).open().confirm()
    expect((await socket()).sent[0]).toEqual(['hello', { token: 'token 1' }])
    ;(await socket()).fail(1006)
    await vi.advanceTimersByTimeAsync(500)
    expect((await socket()).open().sent[0]).toEqual(['hello', { token: 'token 2' }])
  })

  it('gives up on a server that speaks another protocol', async () => {
    const live = open()
    ;(await socket()).open('')
    expect(live.state).toMatchObject({ name: 'closed', code: 4010 })
  })

  it('subscribes at once when already connected, and takes its leave', async () => {
    const live = open()
    const s = (await socket()).open()
    const sub = live.subscribe('chat.#')
    expect(s.sent.at(-1)).toEqual(['sub', 1, { id: 's1', topics: ['chat.#'] }])
    sub.close()
    expect(s.sent.at(-1)).toEqual(['unsub', 2, 's1'])
    expect(live.state.name).toBe('live')
  })

  it('ends at the signal, without a socket left open', async () => {
    const stop = new AbortController()
    const live = open({ signal: stop.signal })
    const s = (await socket()).open()
    stop.abort()
    expect(s.closed).toBe(1000)
    expect(live.state.name).toBe('closed')
  })
})

describe('events', () => {
  it('go to the subscriptions whose topics match, once each', async () => {
    const live = open()
    const [all, tagged] = [ids(live), ids(live, 'post.*.*.*.#.python.#')]
    const s = (await socket()).open().confirm()
    s.say('ev', 'v1.a.2', [event('1'), event('2', 'post.x.en.jack.python'), event('1')])
    s.say('ev', 'v1.a.3', [event('1', 'post.x.en.jack', '/sources/other')])
    expect(all).toEqual(['1', '2', '1'])
    expect(tagged).toEqual(['2'])
    expect(live.position).toBe('v1.a.3')
  })

  it('survive a listener that throws', async () => {
    const live = open()
    const got: string[] = []
    const sub = live.subscribe('#')
    sub.on('event', () => {
      throw new Error('broken listener')
    })
    sub.on('event', ({ id }) => got.push(id))
    const thrown: unknown[] = []
    vi.stubGlobal('queueMicrotask', (job: () => void) => {
      try {
        job()
      } catch (error) {
        thrown.push(error)
      }
    })
    ;(await socket()).open().confirm().say('ev', 'v1.a.2', [event('1')])
    vi.unstubAllGlobals()
    expect(got).toEqual(['1'])
    expect(thrown).toHaveLength(1)
  })

  it('are not disturbed by frames that are unknown or broken', async () => {
    const live = open()
    const got = ids(live)
    const s = (await socket()).open().confirm()
    s.say('surprise', 1).raw('not json').raw('{}').raw('[]').raw(new ArrayBuffer(4)).say('ev', 'v1.a.2', [event('1')])
    expect(got).toEqual(['1'])
    expect(live.state.name).toBe('live')
  })
})

describe('a lost connection', () => {
  it('is resumed after the last position, and repeats are dropped', async () => {
    const live = open()
    const got = ids(live, 'post.#', { last: 50 })
    const first = (await socket()).open().confirm()
    first.say('ev', 'v1.a.7', [event('1'), event('2')]).say('pos', 'v1.b.9').fail(1006)
    expect(live.state).toMatchObject({ name: 'connecting', retryAt: Date.now() + 250, cause: 'the connection was lost' })
    await vi.advanceTimersByTimeAsync(250)
    const second = await socket()
    expect(second).not.toBe(first)
    expect(second.open().subs()).toEqual([{ id: 's1', topics: ['post.#'], last: 50, since: 'v1.b.9' }])
    second.confirm({ replayed: 2 }).say('ev', 'v1.c.11', [event('2'), event('3')])
    expect(got).toEqual(['1', '2', '3'])
  })

  it('asks again for history that was never confirmed', async () => {
    const live = open()
    live.subscribe('post.#', { since: 'v1.z.3' })
    ;(await socket()).open().say('welcome', { position: 'v1.y.90', heartbeat: 25 }).fail(1006)
    await vi.advanceTimersByTimeAsync(500)
    expect((await socket()).open().subs()).toEqual([{ id: 's1', topics: ['post.#'], since: 'v1.z.3' }])
  })

  it('tells of a gap where the relay could not go on from there', async () => {
    const live = open()
    const sub = live.subscribe('post.#')
    const gaps: Gap[] = []
    sub.on('gap', (gap) => gaps.push(gap))
    ;(await socket()).open().confirm().say('ev', 'v1.a.7', [event('1')]).fail(1012)
    await vi.advanceTimersByTimeAsync(2000)
    ;(await socket()).open().confirm({ recovered: false, reason: 'expired' })
    const from = Date.parse('2026-11-21T04:00:00.000Z')
    expect(gaps).toEqual([{ reason: 'expired', since: 'v1.a.7', from, to: Date.now() }])
  })

  it('is retried ever more slowly, never twice at a time, and called offline after three tries', async () => {
    const live = open()
    const waits: number[] = []
    live.on('state', ({ retryAt }: State) => retryAt && waits.push(retryAt - Date.now()))
    for (let n = 0; n < 9; n++) {
      ;(await socket()).fail(1006)
      await vi.advanceTimersByTimeAsync(waits.at(-1) as number)
    }
    expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000])
    expect(live.state.name).toBe('offline')
    expect(FakeSocket.made).toHaveLength(10)
    expect(FakeSocket.made.slice(0, -1).every(({ readyState }) => readyState === 3)).toBe(true)
  })

  it('starts from the shortest wait again after a connection that held', async () => {
    const live = open()
    ;(await socket()).fail(1006)
    await vi.advanceTimersByTimeAsync(250)
    ;(await socket()).open().confirm()
    await vi.advanceTimersByTimeAsync(6000)
    ;(await socket()).fail(1006)
    expect(live.state.retryAt).toBe(Date.now() + 250)
  })

  it('is retried at once when the network is back, or when asked', async () => {
    const live = open()
    ;(await socket()).fail(4129)
    expect(live.state.retryAt).toBeGreaterThanOrEqual(Date.now() + 4000)
    dispatchEvent(new Event('online'))
    await breathe()
    expect(FakeSocket.made).toHaveLength(2)
    FakeSocket.made[1]?.fail(1006)
    live.retry()
    await breathe()
    expect(FakeSocket.made).toHaveLength(3)
    live.retry()
    await breathe()
    expect(FakeSocket.made).toHaveLength(3)
  })

  it.each([4000, 4003, 4009, 4010, 4001])('is final with close code %i', async (code) => {
    const live = open()
    ;(await socket()).open().confirm().fail(code)
    expect(live.state).toMatchObject({ name: 'closed', code })
    await vi.advanceTimersByTimeAsync(60_000)
    expect(FakeSocket.made).toHaveLength(1)
  })

  it('is retried once with a new token after 4001', async () => {
    const live = open({ token: () => 'stale' })
    ;(await socket()).open().fail(4001)
    await vi.advanceTimersByTimeAsync(500)
    ;(await socket()).open().fail(4001)
    expect(live.state).toMatchObject({ name: 'closed', code: 4001 })
    expect(FakeSocket.made).toHaveLength(2)
  })

  it('moves when a draining relay says so', async () => {
    open().subscribe('post.#')
    const first = (await socket()).open().confirm().say('ev', 'v1.a.7', [event('1')]).say('draining', { in_ms: 800 })
    await vi.advanceTimersByTimeAsync(799)
    expect(FakeSocket.made).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(first.closed).toBe(1000)
    expect((await socket()).open().subs()[0]).toMatchObject({ since: 'v1.a.7' })
  })
})
