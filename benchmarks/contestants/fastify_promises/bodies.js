// JSON bodies: parsed strictly, and refused where a key is given twice.
import { isUtf8 } from 'node:buffer'
import { Problem } from './problems.js'

const DEEPEST = 64
const TEXT = /"(?:[^"\\]|\\.)*"/g

export function parseJson (_request, body, done) {
  let value
  try {
    if (!isUtf8(body)) throw new Problem('malformed_body')
    const text = body.toString()
    value = parse(text)
    if (countKeys(value, 0) !== countColons(text)) throw twice(text)
  } catch (error) {
    done(error)
    return
  }
  done(null, value)
}

function parse (text) {
  try {
    return JSON.parse(text)
  } catch {
    throw new Problem('malformed_body')
  }
}

// Of valid JSON: as many colons outside of texts as there were keys, of which the parser keeps one
// where they are equal.
function countColons (text) {
  let colons = 0
  let inText = false
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 34) inText = !inText
    else if (inText) index += code === 92
    else if (code === 58) colons++
  }
  return colons
}

function countKeys (value, depth) {
  if (value === null || typeof value !== 'object') return 0
  if (depth === DEEPEST) throw new Problem('malformed_body')
  const parts = Object.values(value)
  let keys = Array.isArray(value) ? 0 : parts.length
  for (const part of parts) keys += countKeys(part, depth + 1)
  return keys
}

function twice (text) {
  const seen = new Set()
  const repeated = new Set()
  for (const { 0: quoted, index } of text.matchAll(TEXT)) {
    if (!/^\s*:/.test(text.slice(index + quoted.length, index + quoted.length + 99))) continue
    const name = JSON.parse(quoted)
    if (seen.has(name)) repeated.add(name)
    seen.add(name)
  }
  const errors = [...repeated].map((name) => (
    { pointer: `/${name.slice(0, 100)}`, code: 'duplicate', detail: 'Must be given once.' }
  ))
  return new Problem('invalid_request', { errors })
}
