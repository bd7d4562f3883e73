// The map's twin in words: the same places, countable and readable.

import { html, type TemplateResult } from 'lit'
import { words } from '../model/words.ts'
import { View } from './view.ts'

const TOP = 10
const EVERY_MS = 2_000 // a table whose figures change faster cannot be read

export class PlaceList extends View {
  #drawn = -Infinity

  protected override beat(): void {
    const now = Date.now()
    const empty = this.querySelector('.places') === null
    if (this.session.still || (!empty && now - this.#drawn < EVERY_MS)) return
    this.#drawn = now
    super.beat()
  }

  override render(): TemplateResult {
    const ranked = this.session.places.ranked(Date.now()).slice(0, TOP)
    const most = ranked[0]?.count ?? 1
    return html`
      <h2 id="places-title" tabindex="-1">${words.places} <small>${words.placesWindow}</small></h2>
      ${ranked.length === 0 ? html`<p class="empty">${words.noPlaces}</p>` : html`
        <ol class="places" aria-labelledby="places-title">
          ${ranked.map(({ country, count }) => html`
            <li><span class="country"><bdi>${words.country(country)}</bdi></span>
              <svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">
                <rect width=${(count / most) * 100} height="8"></rect>
              </svg>
              <span class="number">${words.count(count)}</span></li>`)}
        </ol>`}
    `
  }
}

customElements.define('place-list', PlaceList)
