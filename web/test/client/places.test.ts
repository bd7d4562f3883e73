// Where each subscription goes on after a loss.

import { describe, expect, it, vi } from 'vitest'
import { event, ids, open, socket, withFakes } from './fake.ts'

withFakes()

async function again(): Promise<unknown[]> {
  ;(await socket()).fail(1006)
  await vi.advanceTimersByTimeAsync(1000)
  return (await socket()).open().subs().map((body) => body['since'])
}

describe('a subscription', () => {
  it('is not sent back by the history of another', async () => {
    const live = open()
    const got = ids(live)
    const s = (await socket()).open().confirm()
    s.say('ev', 'v1.a.600', [event('1')])
    live.subscribe('geo.#', { since: 'v1.a.0' })
    s.say('subd', 2, { id: 's2', recovered: true, replayed: 3, position: 'v1.a.0' })
    s.say('ev', 'v1.a.70', [event('g', 'geo.birds.nz')])
    expect(await again()).toEqual(['v1.a.600', 'v1.a.70'])
    expect(got).toEqual(['1'])
  })

  it('keeps its own place when it is asked for beside such a history', async () => {
    const live = open()
    live.subscribe('geo.#', { since: 'v1.a.5' })
    live.subscribe('post.#', { since: 'v1.a.600' })
    const s = (await socket()).open()
    s.say('subd', 1, { id: 's1', recovered: true, replayed: 3, position: 'v1.a.5' })
    s.say('subd', 2, { id: 's2', recovered: true, replayed: 0, position: 'v1.a.5' })
    expect(await again()).toEqual(['v1.a.5', 'v1.a.600'])
  })

  it('takes the relay’s place for its own where that is gone', async () => {
    const live = open()
    live.subscribe('geo.#', { since: 'v1.a.5' })
    live.subscribe('post.#', { since: 'v1.gone.600' })
    const s = (await socket()).open()
    s.say('subd', 1, { id: 's1', recovered: true, replayed: 3, position: 'v1.a.5' })
    s.say('subd', 2, { id: 's2', recovered: false, reason: 'unknown', replayed: 0, position: 'v1.a.5' })
    expect(await again()).toEqual(['v1.a.5', 'v1.a.5'])
  })

  it('goes on with the others when history is over', async () => {
    const live = open()
    live.subscribe('post.#')
    live.subscribe('geo.#', { last: 1 })
    const s = (await socket()).open().confirm()
    live.subscribe('delete.#', { last: 1 })
    s.say('subd', 3, { id: 's3', recovered: true, replayed: 1, position: 'v1.a.0' })
    s.say('ev', 'v1.a.9', [event('d', 'delete.birds')]).say('pos', 'v1.a.700')
    expect(await again()).toEqual(['v1.a.700', 'v1.a.700', 'v1.a.700'])
  })
})
