// How one row of the feed looks. Texts become text nodes and nothing else; there is no way from here to markup.

import { html, nothing, type TemplateResult } from 'lit'
import type { GapRow, PostRow } from '../model/row.ts'
import type { Piece } from '../model/text.ts'
import { toHash, EVERYTHING } from '../model/filter.ts'
import { ago, words } from '../model/words.ts'
import { icons } from './icons.ts'

const REL = 'noopener noreferrer nofollow ugc'

export interface Shown {
  /** Place in the feed, from 1. */
  readonly at: number
  readonly now: number
  /** The reader opened it: sensitive or long texts show in full, and all changes of a row. */
  readonly open: boolean
  /** Opens it; what can be folded up again is, the second time. */
  readonly reveal: (key: string) => void
}

export function postView(row: PostRow, shown: Shown): TemplateResult {
  const { author } = row
  return html`
    <article class="row post" tabindex="-1" data-key=${row.key} aria-posinset=${shown.at} aria-setsize="-1"
      aria-label=${words.postBy(author.name)}>
      <span class="avatar" data-hue=${author.hue} aria-hidden="true">${author.initials}</span>
      <div class="byline">
        <bdi class="name">${author.url ? out(author.url, author.name) : author.name}</bdi>
        ${author.handle ? html`<bdi class="handle">${author.handle}</bdi>` : nothing}
        <span class="source"><bdi>${row.source}</bdi></span>
        ${row.lang ? html`<span class="lang" title=${words.languageName(row.lang)}>${row.lang}</span>` : nothing}
        ${stamp(row, shown.now)}
      </div>
      ${row.sensitive && !shown.open ? covered(row, shown) : body(row, shown)}
      ${row.place || row.reply || row.media ? meta(row) : nothing}
    </article>
  `
}

export function gapView(row: GapRow, shown: Shown): TemplateResult {
  const span = row.from !== undefined && row.to !== undefined ? words.gapSpan(row.from, row.to, shown.now) : ''
  if (row.source) return divider(row, span, shown)
  return html`
    <article class="row gap" tabindex="-1" data-key=${row.key} aria-posinset=${shown.at} aria-setsize="-1"
      aria-label=${row.title}>
      ${icons.gap}
      <p><b>${row.title}</b>${span ? html` <span>${span}</span>` : nothing}${row.cause ? html` <span>${row.cause}</span>` : nothing}</p>
    </article>
  `
}

/** What a source missed concerns everybody a little, and nobody much. */
function divider(row: GapRow, span: string, shown: Shown): TemplateResult {
  const what = [row.title, row.cause].filter(Boolean).join(', ')
  return html`
    <article class="row divider" tabindex="-1" data-key=${row.key} aria-posinset=${shown.at} aria-setsize="-1"
      aria-label=${words.gapIn(row.source)}>
      <p>${span ? `${span}: ${what}` : what}</p><span class="source"><bdi>${row.source}</bdi></span>
    </article>
  `
}

function body(row: PostRow, shown: Shown): TemplateResult {
  const folded = row.long && !shown.open
  return html`
    <p class="text ${folded ? 'folded' : ''}" dir="auto" lang=${row.lang || nothing}>${row.body.map(piece)}</p>
    ${folded ? html`<button class="link" type="button" @click=${() => shown.reveal(row.key)}>${words.more}</button>` : nothing}
  `
}

function covered(row: PostRow, shown: Shown): TemplateResult {
  return html`
    <p class="text covered">${words.sensitive}
      <button class="link" type="button" @click=${() => shown.reveal(row.key)}>${words.reveal}</button>
    </p>
  `
}

function piece({ kind, text, target, host }: Piece): TemplateResult | string {
  if (kind === 'link') return html`${out(target, text)}${host ? html` <bdi class="host">(${host})</bdi>` : nothing}`
  if (kind === 'text') return text
  return html`<a class=${kind} href=${toHash({ ...EVERYTHING, text: target })}><bdi>${text}</bdi></a>`
}

export function out(url: string, text: string): TemplateResult {
  return html`<a href=${url} target="_blank" rel=${REL} referrerpolicy="no-referrer"><bdi>${text}</bdi></a>`
}

export function when(at: number, now: number): TemplateResult {
  return html`<time datetime=${new Date(at).toISOString()} title=${words.time(at)}>${ago(now - at)}</time>`
}

function stamp(row: PostRow, now: number): TemplateResult {
  const time = when(row.at, now)
  if (!row.url) return time
  const label = `${ago(now - row.at)}, ${words.openPost}`
  return html`<a class="stamp" href=${row.url} target="_blank" rel=${REL} referrerpolicy="no-referrer" aria-label=${label}>${time}</a>`
}

function meta(row: PostRow): TemplateResult {
  return html`
    <p class="meta">
      ${row.reply ? html`<span>${icons.reply}${words.replies}</span>` : nothing}
      ${row.place ? html`<span>${icons.pin}<bdi>${row.place}</bdi></span>` : nothing}
      ${row.media ? html`<span>${icons.media}${words.media(row.media)}</span>` : nothing}
    </p>
  `
}
