// ETags and the conditions If-Match and If-None-Match (RFC 9110).
import { Problem } from './problems.js'

const LIST = /^(?:W\/)?"[^"]*"(?:\s*,\s*(?:W\/)?"[^"]*")*$/
const TAG = /(W\/)?"([^"]*)"/g
const LARGEST = 2 ** 31

export const etag = (version) => `"${version}"`

// null: there is no such header; true: `*`; else the versions that it names.
export function versionsOf (request, name, { weak }) {
  const header = request.headers[name]
  if (header === undefined) return null
  if (header.trim() === '*') return true
  if (!LIST.test(header.trim())) {
    const errors = [{ header: name, code: 'invalid_format', detail: 'Must be a list of entity tags.' }]
    throw new Problem('malformed_header', { errors })
  }
  const versions = []
  for (const [, isWeak, tag] of header.matchAll(TAG)) {
    if (!/^[1-9]\d*$/.test(tag) || Number(tag) >= LARGEST || (isWeak && !weak)) continue
    versions.push(Number(tag))
  }
  return versions
}

export function conditionsOf (request) {
  return {
    match: versionsOf(request, 'if-match', { weak: false }),
    none: versionsOf(request, 'if-none-match', { weak: true })
  }
}

export const names = (versions, version) => versions === true || versions.includes(version)

export function stale (version) {
  return new Problem('stale_version', { headers: { etag: etag(version) } })
}
