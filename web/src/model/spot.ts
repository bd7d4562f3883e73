// A place on the map, read from a geo event.

import type { CloudEvent } from '../client/client.d.ts'
import { HEIGHT, PER_KM, WIDTH, project } from './projection.ts'
import { dict } from './reading.ts'
import { keyOf, sourceOf } from './row.ts'
import { whoseOf, type Whose } from './scrubs.ts'

export interface Spot {
  /** Of the post, so that a delete finds it. */
  readonly key: string
  readonly whose: Whose
  readonly x: number
  readonly y: number
  /** Map units. */
  readonly radius: number
  /** Only an area is known: drawn as a ring as wide as that area. */
  readonly area: boolean
  /** ISO 3166-1 alpha-2, or empty. */
  readonly country: string
}

const DOT = 5
const RING_LEAST = 6
const RING_MOST = 45

export function spotOf(event: CloudEvent): Spot | undefined {
  if (event.type !== 'streamer.geo') return undefined
  const data = dict(event.data)
  const [lat, lon] = [data['lat'], data['lon']]
  if (typeof lat !== 'number' || typeof lon !== 'number' || Math.abs(lat) > 90 || Math.abs(lon) > 180) return undefined
  if (lat === 0 && lon === 0) return undefined // where those land who have no place
  const [x, y] = project(lon, lat)
  if (!(x >= 0 && x <= WIDTH && y >= 0 && y <= HEIGHT)) return undefined
  const area = data['precision'] !== 'point'
  const km = typeof data['radius_km'] === 'number' ? data['radius_km'] : 0
  const source = sourceOf(event)
  const post = data['post'] ?? data['post_id'] ?? data['id'] ?? event.id.replace(/^[a-z]+:/, '')
  return {
    key: keyOf(source, post),
    whose: whoseOf(source, data['author'], post),
    x,
    y,
    radius: area ? Math.min(RING_MOST, Math.max(RING_LEAST, km * PER_KM)) : DOT,
    area,
    country: countryOf(data['country'], event.topic),
  }
}

function countryOf(said: unknown, topic: string): string {
  const code = (typeof said === 'string' ? said : (topic.split('.')[2] ?? '')).toUpperCase()
  return /^[A-Z]{2}$/.test(code) ? code : ''
}
