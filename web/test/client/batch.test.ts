import { describe, expect, it } from 'vitest'
import { event, ids, open, socket, withFakes } from './fake.ts'

withFakes()

describe('a batch', () => {
  it('loses only what cannot be dealt out', async () => {
    const live = open()
    const got = ids(live, '#')
    const s = (await socket()).open().confirm()
    const broken = [null, 7, 'x', [], { ...event('a'), topic: undefined }, { ...event('b'), id: 5 }, { ...event('c'), source: null }]
    s.say('ev', 'v1.a.3', [event('1'), ...broken, event('2')])
    expect(got).toEqual(['1', '2'])
    expect(live.position).toBe('v1.a.3')
  })

  it('of no list, and frames without a body, disturb nothing', async () => {
    const live = open()
    const got = ids(live)
    const s = (await socket()).open().confirm()
    s.say('ev', 'v1.a.8', null).say('ev', 'v1.a.9').say('welcome').say('lag').say('err', 1).say('subd', 99).say('draining', null).say('pos', 4)
    s.say('ev', 'v1.a.3', [event('1')])
    expect(got).toEqual(['1'])
    expect(live.position).toBe('v1.a.3')
  })

  it('stops when a listener closes the connection', async () => {
    const live = open()
    const got: string[] = []
    const positions: string[] = []
    live.on('position', (position) => positions.push(position))
    for (const topics of ['post.#', '#']) {
      live.subscribe(topics).on('event', ({ id }) => {
        got.push(id)
        live.close()
      })
    }
    ;(await socket()).open().confirm().say('ev', 'v1.a.3', [event('1'), event('2')])
    expect(got).toEqual(['1'])
    expect(positions).not.toContain('v1.a.3')
  })

  it.each(['delete', 'scrub'])('takes what a %s takes back to every subscription, once each', async (kind) => {
    const live = open()
    const [posts, places] = [ids(live, 'post.#'), ids(live, 'geo.#')]
    const gone = { ...event('gone:1', `${kind}.birds`), type: `streamer.${kind}` }
    ;(await socket()).open().confirm().say('ev', 'v1.a.3', [gone, event('2'), gone, event('3', `${kind}.birds`)])
    expect(posts).toEqual(['gone:1', '2'])
    expect(places).toEqual(['gone:1'])
  })
})
