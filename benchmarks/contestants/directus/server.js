// Directus as it comes: its own tables are made beside the accounts, which it is told about, and the
// command `directus start` serves them, once for each worker.
import { spawnSync } from 'node:child_process'
import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

const DIRECTUS = fileURLToPath(new URL('node_modules/directus/cli.js', import.meta.url))
// What its app does for a table that it did not make: the accounts become a collection, in which it
// sets the id and both instants.
const COLLECTION = `
  INSERT INTO directus_collections (collection) VALUES ('accounts') ON CONFLICT DO NOTHING;
  DELETE FROM directus_fields WHERE collection = 'accounts';
  INSERT INTO directus_fields (collection, field, special) VALUES
    ('accounts', 'id', 'uuid'), ('accounts', 'created', 'date-created'), ('accounts', 'updated', 'date-updated')`

const made = spawnSync(process.execPath, [DIRECTUS, 'bootstrap'], { stdio: 'inherit' })
if (made.status !== 0) process.exit(1)
const client = new pg.Client()
await client.connect()
await client.query(COLLECTION)
await client.end()

cluster.setupPrimary({ exec: DIRECTUS, args: ['start'] })
for (let index = 0; index < Number(process.env.WORKERS); index++) cluster.fork()
process.on('SIGTERM', () => {
  for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM')
})
cluster.on('exit', () => {
  if (Object.keys(cluster.workers).length === 0) process.exit()
})
