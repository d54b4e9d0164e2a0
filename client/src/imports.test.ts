/** Keeps the import graph of `src/` free of cycles, between files and between folders. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, it } from 'vitest';

type Graph = ReadonlyMap<string, ReadonlySet<string>>;

const ROOT = import.meta.dirname;
const SOURCE = /\.(tsx?|css)$/;

/** The specifier of a static import, a re-export, a dynamic import or a CSS import. */
const IMPORT = /(?:\bfrom|\bimport\s*\(?)\s*'(\.{1,2}\/[^']+)'/g;

/** Every file of `src/`, with the files of `src/` that it imports. */
function importsOfFiles(): Graph {
  const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' }).filter((file) =>
    SOURCE.test(file),
  );
  const known = new Set(files);
  const resolve = (from: string, specifier: string) => {
    const path = normalize(join(dirname(from), specifier));
    const found = [path, `${path}.ts`, `${path}.tsx`, `${path}.d.ts`, join(path, 'index.ts')].find(
      (candidate) => known.has(candidate),
    );
    if (!found) throw new Error(`${from} imports ${specifier}, which is not in src/`);
    return found;
  };
  return new Map(
    files.map((file) => {
      const text = readFileSync(join(ROOT, file), 'utf8');
      const imported = [...text.matchAll(IMPORT)].map(([, specifier = '']) => specifier);
      return [file, new Set(imported.map((specifier) => resolve(file, specifier)))];
    }),
  );
}

/** The same graph with each file replaced by its folder. */
function importsOfFolders(files: Graph): Graph {
  const folders = new Map<string, Set<string>>();
  for (const [file, imported] of files) {
    const folder = dirname(file);
    const others = folders.get(folder) ?? new Set();
    for (const other of imported) if (dirname(other) !== folder) others.add(dirname(other));
    folders.set(folder, others);
  }
  return folders;
}

/** The first cycle that a depth-first search meets, such as `['a', 'b', 'a']`. */
function cycleIn(graph: Graph): string[] | undefined {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (node: string): string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return undefined;
    path.push(node);
    for (const next of graph.get(node) ?? []) {
      const cycle = visit(next);
      if (cycle) return cycle;
    }
    path.pop();
    done.add(node);
    return undefined;
  };
  for (const node of graph.keys()) {
    const cycle = visit(node);
    if (cycle) return cycle;
  }
  return undefined;
}

it('finds a cycle, however long', () => {
  const graph = (edges: Record<string, string[]>): Graph =>
    new Map(Object.entries(edges).map(([node, next]) => [node, new Set(next)]));
  expect(cycleIn(graph({ a: ['b', 'c'], b: ['c'], c: [] }))).toBeUndefined();
  expect(cycleIn(graph({ a: ['b'], b: ['c'], c: ['b'] }))).toEqual(['b', 'c', 'b']);
});

it('has no cycle between files', () => {
  const files = importsOfFiles();
  // The graph is not empty by mistake: the entry point imports the application.
  expect(files.get('main.tsx')).toContain('App.tsx');
  expect(cycleIn(files)).toBeUndefined();
});

it('has no cycle between folders', () => {
  const folders = importsOfFolders(importsOfFiles());
  expect(folders.get('history')).toContain('player');
  expect(cycleIn(folders)).toBeUndefined();
});

it('has no two modules in a folder whose names differ only by case', () => {
  // Where file names ignore case, `./Labels` could resolve to `labels.ts` in place of `Labels.tsx`.
  const modules = [...importsOfFiles().keys()].map((file) => file.replace(/\.(tsx?|css)$/, ''));
  const byFoldedName = new Map(modules.map((name) => [name.toLowerCase(), name]));
  expect(modules.filter((name) => byFoldedName.get(name.toLowerCase()) !== name)).toEqual([]);
});
