// Makes docs/demo.svg from a real run of the demo, as its screen shows it on a terminal of 24 lines and 80 columns:
// `node tool/run.mjs tool/picture.mjs [SECOND] [ARGUMENTS OF signet demo]`. SECOND is the moment of the picture.
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runCli } from "../src/cli/program.ts";
import { terminalContext } from "../src/cli/terminal.ts";
import { Terminal } from "../test/fakes/terminal.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const second = Number(process.argv[2] ?? "34");
const clock = `${String(Math.floor(second / 60)).padStart(2, "0")}:${String(second % 60).padStart(2, "0")}`;
const cell = { width: 8.4, height: 18 };
const margin = 16;

const terminal = new Terminal();
let picture;
const watched = {
  isTerminal: true,
  columns: () => terminal.width,
  write: (text) => {
    terminal.write(text);
    if (picture === undefined && terminal.lines[0]?.includes(`   ${clock} of `)) picture = [...terminal.lines];
  },
};
const { context } = terminalContext(process, {});
const code = await runCli({ ...context, out: watched, env: { ...context.env, TERM: "xterm" } }, [
  "demo",
  ...process.argv.slice(3),
]);
if (code !== 0 || picture === undefined) {
  console.error(
    `picture: the demo ended with ${code}, and ${picture === undefined ? `never showed ${clock}` : "showed it"}`,
  );
  console.error(terminal.lines.join("\n"));
  process.exit(1);
}
writeFileSync(join(root, "docs/demo.svg"), svg(picture));
process.exit(0);

/** The lines on a dark ground; words that say a state have its colour. */
function svg(lines) {
  const last = lines.findLastIndex((line) => line !== "");
  const width = Math.ceil(80 * cell.width + 2 * margin);
  const height = (last + 1) * cell.height + 2 * margin;
  const rows = lines.slice(0, last + 1).map((line, index) => {
    const y = margin + (index + 0.75) * cell.height;
    return line === "" ? "" : `  <text x="${margin}" y="${y}" xml:space="preserve">${coloured(line)}</text>\n`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
  <title>signet demo, ${clock} after the first call</title>
  <style>text { font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #d6dde4; white-space: pre }
    .good { fill: #7ed491 } .old { fill: #e0c36c } .dim { fill: #8b96a1 }</style>
  <rect width="100%" height="100%" rx="8" fill="#14191e"/>
${rows.join("")}</svg>
`;
}

function coloured(line) {
  const escaped = line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return escaped
    .replace(/\b(ACTIVE|refused|0 failed)\b/g, '<tspan class="good">$1</tspan>')
    .replace(/\b(old: signs nothing|renewing)\b/g, '<tspan class="old">$1</tspan>')
    .replace(/Ctrl-C ends it/, '<tspan class="dim">$&</tspan>');
}
