// A Vite plugin: the world's land, projected once at build time and handed to the page as one short SVG path.
// Land only: where it ends nobody disputes. d3 cuts it along the antimeridian and bends long edges; the formula is
// the page's own, and neither d3 nor topojson is shipped.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { geoPath, geoProjection, type GeoContext } from 'd3-geo'
import { feature } from 'topojson-client'
import type { GeometryCollection, Topology } from 'topojson-specification'
import type { Plugin } from 'vite'
import { SCALE, WIDTH, equalEarth } from '../src/model/projection.ts'

const NAME = 'virtual:land'
const DIGITS = 1 // a tenth of a map unit is 4 km; the outline itself is coarser
const DEGREES = 180 / Math.PI

export function land(): Plugin {
  return {
    name: 'land',
    resolveId: (id) => (id === NAME ? `\0${NAME}` : undefined),
    load: (id) => (id === `\0${NAME}` ? `export const LAND = ${JSON.stringify(landPath())}` : undefined),
  }
}

export function landPath(): string {
  const file = createRequire(import.meta.url).resolve('world-atlas/land-110m.json')
  const atlas = JSON.parse(readFileSync(file, 'utf8')) as Topology<{ land: GeometryCollection<object> }>
  const projection = geoProjection((lon, lat) => equalEarth(lon * DEGREES, lat * DEGREES))
    .scale(SCALE)
    .translate([WIDTH / 2, equalEarth(0, 90)[1] * SCALE])
    .precision(0.3)
  const pen = new Pen()
  geoPath(projection, pen)(feature(atlas, atlas.objects.land))
  return pen.path
}

/** Writes relative moves in whole tenths: half the bytes of absolute numbers. */
class Pen implements GeoContext {
  path = ''
  #x = 0
  #y = 0

  moveTo(x: number, y: number): void {
    ;[this.#x, this.#y] = [0, 0]
    this.#go('M', x, y)
  }

  lineTo(x: number, y: number): void {
    this.#go('l', x, y)
  }

  closePath(): void {
    this.path += 'z'
  }

  beginPath(): void {}

  arc(): void {
    throw new Error('land has no points')
  }

  #go(command: string, x: number, y: number): void {
    const unit = 10 ** DIGITS
    const [px, py] = [Math.round(x * unit), Math.round(y * unit)]
    const [dx, dy] = [px - this.#x, py - this.#y]
    if (command === 'l' && !dx && !dy) return
    this.path += `${command}${short(dx / unit)}${dy < 0 ? '' : ' '}${short(dy / unit)}`
    ;[this.#x, this.#y] = [px, py]
  }
}

function short(n: number): string {
  return String(Number(n.toFixed(DIGITS))).replace(/^(-?)0\./, '$1.')
}
