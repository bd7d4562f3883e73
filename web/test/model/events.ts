import type { CloudEvent } from '../../src/client/client.d.ts'

export function cloudEvent(type: string, topic: string, data: object, source = 'birds', id = 'e:1'): CloudEvent {
  return { specversion: '1.0', id, source: `/sources/${source}`, type, topic, time: '2026-11-21T04:00:00.000Z', data }
}

export function postEvent(data: object, source = 'birds'): CloudEvent {
  return cloudEvent('streamer.post', `post.${source}.en.jack`, { id: '1', text: '', facets: [], tags: [], media: [], ...data }, source)
}

export function changeEvent(id: number | string, data: object, source = 'wiki'): CloudEvent {
  return cloudEvent('streamer.change', `change.${source}.edit.-.-`, { id: String(id), action: 'edit', ...data }, source, `change:${id}`)
}
