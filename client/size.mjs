// Checks after a build that the first screen stays within its size budget.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

/** The budget of the first screen: scripts and styles, gzipped. */
const BUDGET_KB = 180;

const manifest = JSON.parse(readFileSync('dist/.vite/manifest.json', 'utf8'));
const files = new Set();
const take = (name) => {
  const chunk = manifest[name];
  if (files.has(chunk.file)) return;
  files.add(chunk.file);
  for (const sheet of chunk.css ?? []) files.add(sheet);
  for (const other of chunk.imports ?? []) take(other);
};
take('index.html');

const weigh = (file) => gzipSync(readFileSync(`dist/${file}`), { level: 9 }).length / 1000;
const kb = [...files].map(weigh).reduce((sum, weight) => sum + weight, 0);
const verdict = `first screen: ${kb.toFixed(1)} kB gzipped in ${files.size} files, of ${BUDGET_KB}`;
if (kb > BUDGET_KB) {
  console.error(`${verdict}: load something of it later`);
  process.exit(1);
}
console.log(verdict);
