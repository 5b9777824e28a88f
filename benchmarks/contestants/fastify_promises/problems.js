// Every error as a problem (RFC 9457) that lists all faults of a request.
const KINDS = {
  malformed_body: [400, 'Malformed body', 'The body is not valid JSON.'],
  malformed_header: [400, 'Malformed header', 'A header is malformed; `errors` says which.'],
  unauthenticated: [401, 'Not authenticated', 'The request needs a valid key.'],
  forbidden: [403, 'Forbidden', 'The key does not allow this.'],
  not_found: [404, 'Not found', 'There is nothing at this path.'],
  account_not_found: [404, 'Account not found', 'No account has this id.'],
  method_not_allowed: [405, 'Method not allowed', 'The path does not have this method.'],
  email_taken: [409, 'Email already in use', 'Another account uses this email.'],
  idempotency_in_flight: [409, 'Request in flight', 'The first request with this key still runs.'],
  stale_version: [412, 'Stale version', 'The account has another version.'],
  body_too_large: [413, 'Body too large', 'The body is larger than allowed.'],
  unsupported_media_type: [415, 'Unsupported media type', 'Send application/json.'],
  invalid_request: [422, 'Invalid request', 'The request is invalid; `errors` lists every fault.'],
  invalid_cursor: [422, 'Invalid cursor', 'The cursor is not one of this list.'],
  idempotency_key_reused: [422, 'Idempotency-Key reused', 'The key came with other fields before.'],
  internal: [500, 'Internal error', 'The request failed for a reason within the service.'],
  overloaded: [503, 'Overloaded', 'The service has more to do than it can.'],
  database_unavailable: [503, 'Database unavailable', 'The database does not respond.']
}

export class Problem extends Error {
  constructor (code, { errors = [], headers = {} } = {}) {
    const [status, title, detail] = KINDS[code]
    super(detail)
    Object.assign(this, { code, status, title, errors, headers })
  }
}

// What ajv calls a fault, and what clients call it.
const CODES = {
  required: 'required',
  additionalProperties: 'unknown',
  type: 'wrong_type',
  minLength: 'too_short',
  maxLength: 'too_long'
}

export function faultsOf (validation, part) {
  return validation.map(({ keyword, instancePath, params, data, message }) => {
    const name = params.missingProperty ?? params.additionalProperty
    const path = name === undefined ? instancePath : `${instancePath}/${name}`
    const place = part === 'body' ? { pointer: path } : { parameter: path.slice(1) }
    let code = CODES[keyword] ?? 'invalid_format'
    if (code === 'wrong_type' && data === null) code = 'null_not_allowed'
    return { ...place, code, detail: `It ${message}.` }
  })
}

const later = { headers: { 'retry-after': '1' } }

function problemOf (error) {
  if (error instanceof Problem) return error
  if (error.validation) {
    const errors = faultsOf(error.validation, error.validationContext)
    return new Problem('invalid_request', { errors })
  }
  if (error.code === '23505') {
    const detail = 'Another account uses this email.'
    return new Problem('email_taken', { errors: [{ pointer: '/email', code: 'not_unique', detail }] })
  }
  if (error.code === '57014' || error.code === '55P03') return new Problem('overloaded', later)
  if (isLostConnection(error)) return new Problem('database_unavailable', later)
  if (error.statusCode === 413) return new Problem('body_too_large')
  if (error.statusCode === 415) return new Problem('unsupported_media_type')
  if (error.statusCode === 400) return new Problem('malformed_body')
  return null
}

function isLostConnection ({ code = '', message = '' }) {
  return /^(08|57P|53|ECONN|ENOENT|EPIPE)/.test(code) || /^(Connection terminated|timeout exceeded)/.test(message)
}

export function addProblems (app) {
  app.decorateRequest('problem', null)
  app.setErrorHandler((error, request, reply) => {
    let problem = problemOf(error)
    if (problem === null) {
      request.log.error(error)
      problem = new Problem('internal')
    }
    request.problem = problem.code
    reply.code(problem.status).headers(problem.headers)
    reply.header('cache-control', 'private, no-cache').type('application/problem+json')
    return reply.send(JSON.stringify({
      type: `/problems/${problem.code.replaceAll('_', '-')}`,
      title: problem.title,
      status: problem.status,
      code: problem.code,
      detail: problem.message,
      instance: request.url.split('?', 1)[0],
      request_id: request.id,
      errors: problem.errors
    }))
  })
}
