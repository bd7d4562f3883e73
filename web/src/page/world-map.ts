// The map: land that is drawn once, and a pool of circles that are moved, never made or animated.

import { LAND } from 'virtual:land'
import { html, svg, type TemplateResult } from 'lit'
import { POOL } from '../model/blips.ts'
import { HEIGHT, WIDTH, graticule, outline } from '../model/projection.ts'
import { words } from '../model/words.ts'
import { View } from './view.ts'

const SUMMARY_MS = 10_000
const SUMMED_UP = 3 // countries named in the summary
const BOX = `0 0 ${WIDTH} ${HEIGHT}`

export class WorldMap extends View {
  #circles: SVGCircleElement[] = []
  #summed = -Infinity
  readonly #still = matchMedia('(prefers-reduced-motion: reduce)')

  override render(): TemplateResult {
    return html`
      <h2>${words.world}</h2>
      <div class="map" role="img" aria-label=${words.mapSummary(0, [])}>
        <svg class="land" viewBox=${BOX} aria-hidden="true" focusable="false">
          <path class="sea" d=${outline()} /><path class="grid" d=${graticule()} /><path class="earth" d=${LAND} />
        </svg>
        <svg class="blips" viewBox=${BOX} aria-hidden="true" focusable="false">
          ${Array.from({ length: POOL }, () => svg`<circle data-step="0"></circle>`)}
        </svg>
      </div>
      <p class="legend" aria-hidden="true">
        <span><i class="dot"></i>${words.exact}</span><span><i class="ring"></i>${words.area}</span>
      </p>
    `
  }

  protected override firstUpdated(): void {
    this.#circles = [...this.querySelectorAll('circle')]
  }

  protected override beat(): void {
    if (document.visibilityState === 'hidden') return
    if (this.session.still) return this.#clear()
    const now = Date.now()
    this.#draw(now)
    if (now - this.#summed >= SUMMARY_MS) this.#sumUp(now)
  }

  #draw(now: number): void {
    const { blips } = this.session
    for (const [i, circle] of this.#circles.entries()) {
      const { step, flash } = blips.look(i, now, this.#still.matches)
      const spot = blips.slots[i]?.spot
      const seen = spot && step > 0
      // Only what differs is written: an attribute set to its old value still costs a style pass.
      set(circle, 'data-step', String(seen ? step : 0))
      if (!seen) continue
      set(circle, 'data-flash', flash ? 'yes' : 'no')
      set(circle, 'data-area', spot.area ? 'yes' : 'no')
      set(circle, 'cx', spot.x.toFixed(1))
      set(circle, 'cy', spot.y.toFixed(1))
      set(circle, 'r', spot.radius.toFixed(1))
    }
  }

  /** A still map moves nothing, and yet loses what was taken back. */
  #clear(): void {
    const { slots } = this.session.blips
    for (const [i, circle] of this.#circles.entries()) if (!slots[i]) set(circle, 'data-step', '0')
  }

  #sumUp(now: number): void {
    const ranked = this.session.places.ranked(now)
    if (ranked.length === 0) return
    this.#summed = now
    const total = ranked.reduce((sum, { count }) => sum + count, 0)
    this.querySelector('.map')?.setAttribute('aria-label', words.mapSummary(total, ranked.slice(0, SUMMED_UP)))
  }
}

function set(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value)
}

customElements.define('world-map', WorldMap)
