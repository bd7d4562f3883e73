// The faces that need no library of ours, from a page: EventSource, fetch and a websocket that only listens.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { look } from './page.mjs'

const COUNT = 30 // events; at the demonstration's rate that takes seconds

test('EventSource, long poll and cloudevents.json bring the same events, once and in order', () =>
  look(async (page) => {
    const got = await page.evaluate(async (count) => {
      const topics = 'topics=post.%23'
      const isPost = (event) => event.type === 'streamer.post' // deletions come to everybody, too
      const streamed = await new Promise((resolve, reject) => {
        const source = new EventSource(`events?${topics}&last=5`)
        const seen = []
        const facts = []
        source.addEventListener('streamer.subscribed', (event) => facts.push([event.lastEventId, JSON.parse(event.data)]))
        source.addEventListener('streamer.post', (event) => {
          seen.push([event.lastEventId, JSON.parse(event.data).id])
          if (seen.length < count) return
          source.close()
          resolve({ facts, seen })
        })
        source.onerror = () => reject(new Error(`the stream ended, state ${source.readyState}`))
      })
      const [begin, { position }] = streamed.facts[0]
      const end = streamed.seen.at(-1)[0]
      const polled = []
      let since = position
      while (polled.length < count) {
        const answer = await (await fetch(`poll?${topics}&since=${since}&wait=5`)).json()
        if (!answer.recovered) throw new Error(JSON.stringify(answer))
        polled.push(...answer.events.filter(isPost).map((event) => event.id))
        since = answer.position
      }
      const framed = await new Promise((resolve, reject) => {
        const url = new URL(`ws?${topics}&since=${position}`, location.href.replace(/^http/, 'ws'))
        const socket = new WebSocket(url, 'cloudevents.json')
        const seen = []
        socket.onmessage = ({ data }) => {
          seen.push(JSON.parse(data))
          if (seen.filter(isPost).length < count) return
          socket.close()
          resolve(seen)
        }
        socket.onerror = () => reject(new Error('the websocket failed'))
      })
      const [first] = framed
      return { begin, position, end, facts: streamed.facts, seen: streamed.seen, polled, first, framed: framed.filter(isPost) }
    }, COUNT)
    assert.equal(got.facts.length, 1)
    assert.equal(got.begin, got.position)
    const ids = got.seen.map(([, id]) => id)
    assert.equal(new Set(ids).size, COUNT)
    assert.deepEqual(got.polled.slice(0, COUNT), ids)
    assert.equal(got.first.type, 'streamer.subscribed')
    assert.deepEqual(got.framed.map((event) => event.id), ids)
    assert.equal(got.framed.at(-1).position, got.end)
    const sequences = got.framed.map((event) => event.sequence)
    assert.deepEqual(sequences, [...sequences].sort())
  }))

test('a page that is told what is wrong with its question is told in JSON, and EventSource gives up', () =>
  look(
    async (page) => {
      const said = await page.evaluate(async () => {
        const refused = await (await fetch('poll?topics=post.')).json()
        const state = await new Promise((resolve) => {
          const source = new EventSource('events?topics=post.')
          source.onerror = () => resolve(source.readyState)
        })
        return [refused.error.code, state]
      })
      assert.deepEqual(said, ['bad-topic', 2])
    },
    { refused: /400/ },
  ))
