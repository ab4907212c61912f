/** A reference of one module to another, as written. */
export interface Reference {
  /** The specifier, or undefined when it is computed and so cannot be checked. */
  readonly specifier: string | undefined;
  /** dynamic: `import()`, in a type too, or `require`; static: import and export declarations. */
  readonly kind: "static" | "dynamic";
  /** Written with `import type`, `export type`, or with `type` before each name. */
  readonly typeOnly: boolean;
  readonly line: number;
}

/** Source text without its comments, and with each string replaced by its number in quotes. Line breaks stay. */
export interface SourceText {
  readonly code: string;
  readonly strings: readonly string[];
}

const regexMayFollow =
  /(?:^|[(,=:[!&|?{};+\-*%<>~^\n]|\b(?:return|typeof|case|in|of|do|else|void|delete|throw|new|await))\s*$/;

/** Takes comments, strings, templates and regular expressions out of TypeScript, so that what is left is code. */
export function readSource(text: string): SourceText {
  const strings: string[] = [];
  let code = "";
  let at = 0;
  // Depth of braces inside each `${` that is open; code of a substitution is code.
  const templates: number[] = [];
  let braces = 0;

  const keepLines = (part: string): string => part.replace(/[^\n]/g, "");
  const literal = (value: string): void => {
    code += `"${strings.length}"${keepLines(value)}`;
    strings.push(value);
  };
  /** Reads a template from `at` (behind its opening or a substitution's end); true when it came to its end. */
  const template = (): void => {
    const start = at;
    while (at < text.length) {
      if (text[at] === "\\") at += 2;
      else if (text[at] === "`") {
        literal(text.slice(start, at));
        at += 1;
        return;
      } else if (text.startsWith("${", at)) {
        literal(text.slice(start, at));
        code += " + (";
        at += 2;
        templates.push(braces);
        braces = 0;
        return;
      } else at += 1;
    }
  };

  while (at < text.length) {
    const char = text[at] ?? "";
    if (text.startsWith("//", at)) {
      const end = text.indexOf("\n", at);
      at = end < 0 ? text.length : end;
    } else if (text.startsWith("/*", at)) {
      const end = text.indexOf("*/", at + 2);
      const stop = end < 0 ? text.length : end + 2;
      code += ` ${keepLines(text.slice(at, stop))}`;
      at = stop;
    } else if (char === '"' || char === "'") {
      let end = at + 1;
      while (end < text.length && text[end] !== char && text[end] !== "\n") end += text[end] === "\\" ? 2 : 1;
      literal(text.slice(at + 1, end));
      at = end + 1;
    } else if (char === "`") {
      at += 1;
      template();
    } else if (char === "/" && regexMayFollow.test(code.slice(-24))) {
      let end = at + 1;
      let inClass = false;
      while (end < text.length && text[end] !== "\n" && (inClass || text[end] !== "/")) {
        if (text[end] === "\\") end += 1;
        else if (text[end] === "[") inClass = true;
        else if (text[end] === "]") inClass = false;
        end += 1;
      }
      code += " 0 ";
      at = end + 1;
    } else if (char === "}" && templates.length > 0 && braces === 0) {
      code += ") + ";
      braces = templates.pop() ?? 0;
      at += 1;
      template();
    } else {
      if (char === "{") braces += 1;
      if (char === "}") braces -= 1;
      code += char;
      at += 1;
    }
  }
  return { code, strings };
}

/** Line of a position in `code`, from 1. */
export function lineAt(code: string, position: number): number {
  return code.slice(0, position).split("\n").length;
}

/** Every reference to another module: import, export from, import type, import(), require. */
export function references({ code, strings }: SourceText): readonly Reference[] {
  const found: Reference[] = [];
  const add = (match: RegExpMatchArray, kind: Reference["kind"], index: string | undefined, typeOnly = false): void => {
    const specifier = index === undefined ? undefined : strings[Number(index)];
    found.push({ specifier, kind, typeOnly, line: lineAt(code, match.index ?? 0) });
  };
  const named = /(?<![\w$.])(?:import|export)(\s+type(?=[\s{*]))?\s*((?:[\w$*\s,]|\{[^{}]*\})*?)\s*\bfrom\s*"(\d+)"/g;
  for (const match of code.matchAll(named))
    add(match, "static", match[3], match[1] !== undefined || onlyTypes(match[2]));
  for (const match of code.matchAll(/(?<![\w$.])import\s*"(\d+)"/g)) add(match, "static", match[1]);
  // A method may be called `import`, but not with nothing between its parentheses and be an import.
  const called = /(?<![\w$.])(?:import|require)\s*\(\s*(?!\s|\))(?:"(\d+)"\s*[,)])?/g;
  for (const match of code.matchAll(called)) add(match, "dynamic", match[1]);
  return found;
}

function onlyTypes(clause = ""): boolean {
  const names =
    /^\{([^{}]*)\}$/
      .exec(clause.trim())?.[1]
      ?.split(",")
      .filter((name) => name.trim() !== "") ?? [];
  return names.length > 0 && names.every((name) => /^\s*type\s+\w/.test(name));
}
