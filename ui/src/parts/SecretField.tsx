// A field for a provider's key. What is typed stays in the field itself: the page keeps only what it found out about
// its shape. It is no password field, so that no browser offers to remember it. Must never copy a value into state.

import { TextInput } from "@mantine/core";
import { type Ref, useState } from "react";
import type { Schemas } from "../api/client";
import { plural, words } from "../format";

type Provider = Schemas["Provider"];

export interface Shape {
  tone: "good" | "warn" | "quiet";
  text: string;
}

/** Whose key a text looks like, by the prefixes of the catalogue. */
function lookalike(text: string, all: Provider[], own: Provider): Provider | undefined {
  let found: { provider: Provider; length: number } | undefined;
  for (const provider of all) {
    for (const format of Object.values(provider.formats)) {
      for (const prefix of format.prefixes) {
        if (prefix.length >= 2 && text.startsWith(prefix) && prefix.length > (found?.length ?? 0)) found = { provider, length: prefix.length };
      }
    }
  }
  return found && found.provider.id !== own.id && found.provider.title !== own.title ? found.provider : undefined;
}

export function shapeOf(text: string, field: string, own: Provider, all: Provider[]): Shape {
  const format = own.formats[field];
  const range = format && (format.min_length === format.max_length ? `${format.min_length} characters` : `${format.min_length} to ${format.max_length} characters`);
  if (text === "") {
    const begins = format && format.prefixes.length > 0 ? ` that begin with ${format.prefixes.join(" or ")}` : "";
    return { tone: "quiet", text: range ? `${range}${begins}` : "As the provider shows it" };
  }
  if (/^(bearer|token|basic)\s/i.test(text)) return { tone: "warn", text: "Leave out the word before the key; Sealgate puts it in." };
  if (/^\s|\s$/.test(text)) return { tone: "warn", text: "There is a blank before or behind the key." };
  if (/\s/.test(text)) return { tone: "warn", text: "There is a blank in it; was more copied than the key?" };
  if (/^["'].*["']$/.test(text)) return { tone: "warn", text: "Leave out the quotation marks." };
  if (/^mdw_/.test(text)) return { tone: "warn", text: "This is a client key of Sealgate, not a key of the provider." };
  const fits = !format || format.prefixes.length === 0 || format.prefixes.some((prefix) => text.startsWith(prefix) || prefix.startsWith(text));
  const other = lookalike(text, all, own);
  if (other && (!fits || !format || format.prefixes.length === 0)) return { tone: "warn", text: `This looks like a key of ${other.title}.` };
  if (!format) return { tone: "good", text: plural(text.length, "character") };
  if (!fits) return { tone: "warn", text: `Keys of ${own.title} begin with ${format.prefixes.join(" or ")}.` };
  if (text.length < format.min_length) return { tone: "quiet", text: `${text.length} of at least ${plural(format.min_length, "character")}` };
  if (text.length > format.max_length) return { tone: "warn", text: `${plural(text.length, "character")}; at most ${format.max_length} are expected.` };
  return { tone: "good", text: `${plural(text.length, "character")}: the shape fits` };
}

interface Props {
  field: string;
  own: Provider;
  all: Provider[];
  error?: string | undefined;
  autoFocus?: boolean;
  ref: Ref<HTMLInputElement>;
}

const titles: Record<string, string> = {
  api_key: "API key", key_id: "Key ID", secret_key: "Secret key", access_token: "Access token", api_secret: "API secret", private_key: "Private key",
};
export const titleOf = (field: string) => titles[field] ?? words(field);

export function SecretField({ field, own, all, error, autoFocus, ref }: Props) {
  const [shape, setShape] = useState<Shape>(() => shapeOf("", field, own, all));
  const [shown, setShown] = useState(false);
  return (
    <TextInput
      ref={ref}
      label={titleOf(field)}
      name={`secret-${field}`}
      autoComplete="off"
      autoCapitalize="none"
      autoCorrect="off"
      spellCheck={false}
      data-1p-ignore
      data-lpignore="true"
      data-form-type="other"
      autoFocus={autoFocus ?? false}
      required
      error={error}
      onInput={(event) => setShape(shapeOf(event.currentTarget.value, field, own, all))}
      classNames={{ input: shown ? "secret-shown" : "secret-hidden" }}
      inputWrapperOrder={["label", "input", "error", "description"]}
      description={<span className={`shape shape-${shape.tone}`} role="status">{shape.text}</span>}
      rightSection={
        <button type="button" className="as-link small muted" onClick={() => setShown(!shown)} aria-pressed={shown}>{shown ? "hide" : "show"}<span className="hidden"> what is typed</span></button>
      }
      rightSectionWidth={52}
    />
  );
}
