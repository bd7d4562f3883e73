import { geoEqualEarthRaw } from 'd3-geo'
import { describe, expect, it } from 'vitest'
import { landPath } from '../../build/land.ts'
import { Blips, POOL } from '../../src/model/blips.ts'
import { Places } from '../../src/model/places.ts'
import { HEIGHT, WIDTH, equalEarth, project } from '../../src/model/projection.ts'
import { spotOf, type Spot } from '../../src/model/spot.ts'
import { cloudEvent } from './events.ts'

const spot = (key: string): Spot => ({ key, whose: { author: '', post: undefined }, x: 1, y: 2, radius: 3, area: false, country: 'NZ' })
const geo = (data: object, topic = 'geo.birds.nz') => spotOf(cloudEvent('streamer.geo', topic, data))

describe('the projection', () => {
  it('agrees with d3 everywhere', () => {
    const radians = Math.PI / 180
    for (let lon = -180; lon <= 180; lon += 15) {
      for (let lat = -90; lat <= 90; lat += 5) {
        const [x, y] = geoEqualEarthRaw(lon * radians, lat * radians)
        const [ours, up] = equalEarth(lon, lat)
        expect(ours).toBeCloseTo(x, 10)
        expect(up).toBeCloseTo(y, 10)
      }
    }
  })

  it('fills the map from corner to corner', () => {
    expect(project(-180, 0)[0]).toBeCloseTo(0)
    expect(project(180, 0)[0]).toBeCloseTo(WIDTH)
    expect(project(0, 90)[1]).toBeCloseTo(0)
    expect(project(0, -90)[1]).toBeCloseTo(HEIGHT, -1)
    expect(project(0, 0)[0]).toBeCloseTo(WIDTH / 2)
  })
})

describe('the land', () => {
  const rings = landPath().split('M').slice(1).map((ring) => {
    let [x, y] = [0, 0]
    return ring.replace('z', '').split('l').map((pair) => {
      const [dx = NaN, dy = NaN] = (pair.match(/-?\d*\.?\d+/g) ?? []).map(Number)
      return [(x += dx), (y += dy)] as const
    })
  })

  it('lies on the map, without a line across it', () => {
    expect(rings.length).toBeGreaterThan(100)
    for (const ring of rings) {
      for (const [i, [x, y]] of ring.entries()) {
        expect(x >= -0.1 && x <= WIDTH + 0.1 && y >= -0.1 && y <= HEIGHT + 0.1).toBe(true)
        const [px, py] = ring[i - 1] ?? [x, y]
        // Antarctica's lower edge is the pole, which this projection draws as a line.
        if (y < HEIGHT - 20) expect(Math.hypot(x - px, y - py)).toBeLessThan(60)
      }
    }
  })
})

describe('a spot', () => {
  it('is a dot where the place is exact, else a ring as wide as what is known', () => {
    expect(geo({ lat: -45, lon: 168, precision: 'point', radius_km: 0, post: '9' })).toMatchObject({ key: 'birds 9', area: false, radius: 5, country: 'NZ' })
    expect(geo({ lat: -45, lon: 168, precision: 'place', radius_km: 800, post: '9' })?.radius).toBeCloseTo(20, 0)
    expect(geo({ lat: -45, lon: 168, precision: 'gazetteer', radius_km: 9000, post: '9' })).toMatchObject({ area: true, radius: 45 })
  })

  it('is not made of what is no object', () => {
    for (const data of [null, 7, [], 'x']) expect(geo(data as never)).toBeUndefined()
  })

  it.each([{}, { lat: 0, lon: 0 }, { lat: 91, lon: 0 }, { lat: 1, lon: 181 }, { lat: '1', lon: 2 }, { lat: NaN, lon: 1 }])('is not made of %j', (data) => {
    expect(geo({ precision: 'point', radius_km: 0, post: '9', ...data })).toBeUndefined()
  })

  it('may have no country', () => {
    expect(geo({ lat: 1, lon: 1, precision: 'point', post: '9' }, 'geo.birds.-')?.country).toBe('')
  })
})

describe('blips', () => {
  it('are a fixed pool: the newest take the places of the oldest', () => {
    const blips = new Blips()
    for (let n = 0; n < POOL + 1; n++) blips.add(spot(String(n)), 1000)
    expect(blips.slots).toHaveLength(POOL)
    expect(blips.slots[0]?.spot.key).toBe(String(POOL))
    blips.remove('7')
    expect(blips.look(7, 1000).step).toBe(0)
  })

  it('fade in four steps, or not at all for those who want no motion', () => {
    const blips = new Blips()
    blips.add(spot('a'), 0)
    expect([0, 4000, 8000, 12_000, 16_000].map((now) => blips.look(0, now).step)).toEqual([4, 3, 2, 1, 0])
    expect([0, 15_999, 16_000].map((now) => blips.look(0, now, true))).toEqual([
      { step: 4, flash: false }, { step: 4, flash: false }, { step: 0, flash: false },
    ])
    expect(blips.look(0, 100).flash).toBe(true)
  })
})

describe('places', () => {
  it('are ranked over the last ten minutes', () => {
    const places = new Places()
    places.add('PT', 0)
    for (let minute = 0; minute < 3; minute++) places.add('NZ', minute * 60_000)
    places.add('', 100_000)
    expect(places.ranked(150_000)).toEqual([{ country: 'NZ', count: 3 }, { country: '', count: 1 }, { country: 'PT', count: 1 }])
    expect(places.ranked(11 * 60_000)).toEqual([{ country: 'NZ', count: 1 }])
    expect(places.ranked(60 * 60_000)).toEqual([])
  })

  it('count for the minute they are of, in whatever order they come', () => {
    const now = 20 * 60_000
    const places = new Places()
    for (let minute = 25; minute >= 0; minute--) places.add('NZ', minute * 60_000, now)
    expect(places.ranked(now)).toEqual([{ country: 'NZ', count: 15 }]) // 6 of the future count as now
    expect(places.ranked(now + 9 * 60_000)).toEqual([{ country: 'NZ', count: 6 }])
  })
})
