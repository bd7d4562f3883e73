// Equal Earth: areas are true, so that a crowd of blips means a crowd. The formula and its constants are those
// of Šavrič, Patterson and Jenny, "The Equal Earth map projection", 2018, https://doi.org/10.1080/13658816.2018.1504949

const A1 = 1.340264
const A2 = -0.081106
const A3 = 0.000893
const A4 = 0.003796
const M = Math.sqrt(3) / 2
const RADIANS = Math.PI / 180

/** Longitude and latitude in degrees to the projection's own units, y upwards. */
export function equalEarth(lon: number, lat: number): [x: number, y: number] {
  const theta = Math.asin(M * Math.sin(lat * RADIANS))
  const t2 = theta * theta
  const t6 = t2 * t2 * t2
  const x = (lon * RADIANS * Math.cos(theta)) / (M * (A1 + 3 * A2 * t2 + t6 * (7 * A3 + 9 * A4 * t2)))
  return [x, theta * (A1 + A2 * t2 + t6 * (A3 + A4 * t2))]
}

const HALF_WIDTH = equalEarth(180, 0)[0]
const HALF_HEIGHT = equalEarth(0, 90)[1]

/** The map's own coordinates: 0…WIDTH to the right, 0…HEIGHT downwards. */
export const WIDTH = 1000
export const SCALE = WIDTH / (2 * HALF_WIDTH)
export const HEIGHT = Math.ceil(2 * HALF_HEIGHT * SCALE)

const EQUATOR_KM = 40_075
/** Map units per kilometre at the equator. */
export const PER_KM = WIDTH / EQUATOR_KM

export function project(lon: number, lat: number): [x: number, y: number] {
  const [x, y] = equalEarth(lon, lat)
  return [(x + HALF_WIDTH) * SCALE, (HALF_HEIGHT - y) * SCALE]
}

/** The outline of the whole world and its meridians and parallels, as SVG paths. */
export function outline(): string {
  const edge: [number, number][] = []
  for (let lat = -90; lat <= 90; lat += 5) edge.push([180, lat])
  for (let lat = 90; lat >= -90; lat -= 5) edge.push([-180, lat])
  return `${path(edge)}Z`
}

export function graticule(step = 30): string {
  const lines: [number, number][][] = []
  for (let lon = -180 + step; lon < 180; lon += step) {
    lines.push(Array.from({ length: 37 }, (_, i): [number, number] => [lon, -90 + i * 5]))
  }
  for (let lat = -90 + step; lat < 90; lat += step) lines.push([[-180, lat], [180, lat]])
  return lines.map(path).join('')
}

function path(points: readonly [number, number][]): string {
  return points.map(([lon, lat], i) => (i ? 'L' : 'M') + project(lon, lat).map((n) => n.toFixed(1)).join(' ')).join('')
}
