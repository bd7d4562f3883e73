import { describe, expect, it, vi } from 'vitest'
import type { Lag, State } from '../../src/client/client.d.ts'
import { FakeSocket, breathe, open, socket, withFakes } from './fake.ts'

withFakes()

describe('silence', () => {
  it('of a heartbeat and ten seconds more is loss; any frame breaks it', async () => {
    const live = open()
    const s = (await socket()).open().confirm().say('welcome', { heartbeat: 5 })
    await vi.advanceTimersByTimeAsync(14_000)
    s.say('something new')
    await vi.advanceTimersByTimeAsync(14_000)
    expect(live.state.name).toBe('live')
    await vi.advanceTimersByTimeAsync(1000)
    expect(live.state).toMatchObject({ name: 'stalled', cause: 'nothing came from the relay' })
    expect(s.closed).toBe(1000)
  })

  it('after the device woke up is found out with a ping', async () => {
    const live = open()
    const s = (await socket()).open().confirm()
    dispatchEvent(new Event('online'))
    expect(s.sent.at(-1)).toEqual(['ping', 1])
    s.say('pong', 1)
    await vi.advanceTimersByTimeAsync(6000)
    expect(live.state.name).toBe('live')
    dispatchEvent(new Event('online'))
    await vi.advanceTimersByTimeAsync(5000)
    expect(live.state.name).toBe('stalled')
  })

  it('is asked about once, however often the device says that it woke up', async () => {
    const live = open()
    const s = (await socket()).open().confirm()
    for (let n = 0; n < 100; n++) dispatchEvent(new Event('online'))
    expect(s.sent.filter(([kind]) => kind === 'ping')).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(4000)
    dispatchEvent(new Event('online'))
    await vi.advanceTimersByTimeAsync(1000)
    expect(live.state.name).toBe('stalled') // the deadline of the first stands
  })
})

describe('a draining relay', () => {
  it('that closes at once is left alone for as long as it asked', async () => {
    const live = open()
    ;(await socket()).open().confirm().say('draining', { in_ms: 4500 }).fail(1012)
    expect(live.state.retryAt).toBe(Date.now() + 4500)
    await vi.advanceTimersByTimeAsync(4499)
    expect(FakeSocket.made).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    // It held for that one: later losses are retried as ever.
    ;(await socket()).open().confirm().fail(1006)
    expect(live.state.retryAt).toBeLessThan(Date.now() + 2000)
  })

  it('cannot keep its clients away for long', async () => {
    const live = open()
    ;(await socket()).open().confirm().say('draining', { in_ms: 1e12 }).fail(1012)
    expect(live.state.retryAt).toBe(Date.now() + 60_000)
  })
})

describe('a websocket that cannot be made', () => {
  it('ends the connection and says why', async () => {
    const states: State[] = []
    const live = open({
      WebSocket: class {
        constructor() {
          throw new SyntaxError('mixed content')
        }
      } as never,
    })
    live.on('state', (state) => states.push(state))
    await breathe()
    expect(states.at(-1)).toMatchObject({ name: 'closed', cause: expect.stringContaining('mixed content') })
    live.retry()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(live.state.name).toBe('closed')
  })
})

describe('the signal', () => {
  it('is let go of when the connection ends', () => {
    const { signal } = new AbortController()
    const added = vi.spyOn(signal, 'addEventListener')
    const removed = vi.spyOn(signal, 'removeEventListener')
    open({ signal }).close()
    expect(added).toHaveBeenCalledOnce()
    expect(removed.mock.calls.map(([kind, listener]) => [kind, listener])).toEqual(added.mock.calls.map(([kind, listener]) => [kind, listener]))
  })
})

describe('what the relay could not give', () => {
  it('reaches the subscriptions as lag', async () => {
    const lags: Lag[] = []
    const live = open()
    live.subscribe('post.#').on('lag', (lag) => lags.push(lag))
    ;(await socket()).open().confirm().say('lag', { skipped: 132, from: 'v1.a.1', to: 'v1.b.9', why: 'slow' })
    expect(lags).toEqual([{ skipped: 132, from: 'v1.a.1', to: 'v1.b.9', why: 'slow' }])
    expect(live.position).toBe('v1.b.9')
  })

  it('is asked for again if the relay says that may help', async () => {
    const live = open()
    const sub = live.subscribe('post.#')
    const errors: string[] = []
    sub.on('error', ({ code }) => errors.push(code))
    const s = (await socket()).open().say('err', 1, { code: 'busy', message: 'later', retry: true })
    expect(errors).toEqual(['busy'])
    await vi.advanceTimersByTimeAsync(5000)
    expect(s.subs()).toHaveLength(2)
    s.say('err', 2, { code: 'bad-topic', message: 'no', retry: false })
    await vi.advanceTimersByTimeAsync(20_000)
    expect(s.subs()).toHaveLength(2)
  })

  it('is not asked for on a connection that is gone', async () => {
    const live = open()
    live.subscribe('post.#')
    ;(await socket()).open().say('err', 1, { code: 'busy', message: 'later', retry: true }).say('draining', { in_ms: 9000 })
    live.close()
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a session', () => {
  it('goes on after a reload where this tab left off', async () => {
    open({ resume: 'session' }).subscribe('post.#')
    ;(await socket()).open().confirm().say('pos', 'v1.b.9')
    await vi.advanceTimersByTimeAsync(1000)
    ;(await socket()).say('pos', 'v1.c.10')
    open({ resume: 'session' }).subscribe('post.#')
    expect((await socket()).open().subs()).toEqual([{ id: 's1', topics: ['post.#'], since: 'v1.c.10' }])
  })
})
