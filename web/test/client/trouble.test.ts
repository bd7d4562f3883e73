import { describe, expect, it, vi } from 'vitest'
import type { Lag } from '../../src/client/client.d.ts'
import { open, socket, withFakes } from './fake.ts'

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
