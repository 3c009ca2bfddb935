#!/usr/bin/env node
'use strict';
// The `solc` command line over the npm package `solc` (the compiler as WebAssembly), for machines where no native
// compiler can be downloaded. It speaks what Ape (py-solc-x), forge and crytic-compile ask of a compiler:
//
//   solc --version
//   solc --standard-json [--base-path P] [--include-path P]... [--allow-paths ...] [FILE|-]
//
// Output is cached by the hash of (compiler version, input, search roots) together with the hash of every file the
// compiler read through its import callback, so an unchanged input costs one start of Node.
const crypto = require('crypto');
const fs = require('fs');
const os = require('os');
const path = require('path');

const PACKAGE = path.join(path.resolve(path.dirname(fs.realpathSync(process.argv[1])), '..'), 'node_modules', 'solc');
const CACHE = process.env.SOLCJS_CACHE || path.join(os.tmpdir(), 'blackhole-solc');
const installed = JSON.parse(fs.readFileSync(path.join(PACKAGE, 'package.json'), 'utf8')).version;
const sha256 = (text) => crypto.createHash('sha256').update(text).digest('hex');

function fail(message) {
  process.stderr.write(`solc.js: ${message}\n`);
  process.exit(1);
}

/** py-solc-x finds compilers by file name (solc-vX.Y.Z): refuse to stand in for another version. */
function requireAskedVersion() {
  const asked = (path.basename(process.argv[1]).match(/^solc-v(\d+\.\d+\.\d+)$/) || [])[1];
  if (asked && asked !== installed) fail(`version ${asked} was asked for, package-lock.json installs ${installed}`);
}

function compiler() {
  const before = process.listeners('uncaughtException').slice(); // soljson replaces them with one that rethrows
  const solc = require(path.join(PACKAGE, 'index.js'));
  process.removeAllListeners('uncaughtException');
  before.forEach((listener) => process.on('uncaughtException', listener));
  return solc;
}

function writeAtomically(file, text) {
  const temporary = `${file}.${process.pid}`;
  fs.writeFileSync(temporary, text);
  fs.renameSync(temporary, file);
}

function versionText() {
  const file = path.join(CACHE, `version-${installed}`);
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (missing) {
    const text = compiler().version();
    writeAtomically(file, text);
    return text;
  }
}

function parseArguments(argv) {
  const valued = new Set(['--base-path', '--include-path', '--allow-paths', '-I']);
  const parsed = { flags: new Set(), values: {}, include: [], files: [] };
  for (let i = 0; i < argv.length; i++) {
    const equals = argv[i].startsWith('--') ? argv[i].indexOf('=') : -1;
    const name = equals > 0 ? argv[i].slice(0, equals) : argv[i];
    if (valued.has(name)) {
      const value = equals > 0 ? argv[i].slice(equals + 1) : argv[++i];
      if (name === '--include-path' || name === '-I') parsed.include.push(value);
      else parsed.values[name] = value;
    } else if (name.startsWith('-') && name !== '-') parsed.flags.add(name);
    else parsed.files.push(name);
  }
  return parsed;
}

function compile(input, roots) {
  const cached = path.join(CACHE, `${sha256([installed, ...roots, input].join('\0'))}.json`);
  try {
    const entry = JSON.parse(fs.readFileSync(cached, 'utf8'));
    if (Object.entries(entry.reads).every(([file, hash]) => sha256(fs.readFileSync(file, 'utf8')) === hash)) return entry.output;
  } catch (missing) {
    // Not cached, or a file it read has gone: compile again.
  }
  const reads = {};
  const output = compiler().compile(input, {
    import: (name) => {
      const relative = name.replace(/^file:\/\//, '');
      for (const root of path.isAbsolute(relative) ? [''] : roots) {
        const file = root ? path.join(root, relative) : relative;
        try {
          const contents = fs.readFileSync(file, 'utf8');
          reads[file] = sha256(contents);
          return { contents };
        } catch (missing) {
          continue;
        }
      }
      return { error: `Source "${name}" not found. Searched: ${roots.join(', ')}` };
    },
  });
  writeAtomically(cached, JSON.stringify({ reads, output }));
  return output;
}

function print(text) {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) {
    try {
      written += fs.writeSync(1, bytes, written);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

requireAskedVersion();
fs.mkdirSync(CACHE, { recursive: true });
const parsed = parseArguments(process.argv.slice(2));
if (parsed.flags.has('--version')) {
  // Tools match the native compiler's platform suffix.
  print(`solc, the solidity compiler commandline interface\nVersion: ${versionText().replace(/\.Emscripten.*$/, '.Linux.g++')}\n`);
} else if (parsed.flags.has('--standard-json')) {
  const base = path.resolve(parsed.values['--base-path'] || '.');
  const source = parsed.files.find((file) => file !== '-');
  print(compile(fs.readFileSync(source || 0, 'utf8'), [base, ...parsed.include.map((folder) => path.resolve(folder))]));
} else {
  fail('only --version and --standard-json are supported');
}
process.exit(0);
