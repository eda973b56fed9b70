// A moment to choose. What is half typed stays in the field, and nobody acts on the year 2.

import { TextInput } from "@mantine/core";
import { useState } from "react";
import { forInput, fromInput } from "../format";

interface WhenProps {
  word: "from" | "to";
  at: string | number | undefined;
  onChange: (at: string | undefined) => void;
  /** There is always one. */
  kept?: boolean;
}

export function When({ word, at, onChange, kept }: WhenProps) {
  const [typed, setTyped] = useState<string | null>(null);
  const type = (text: string) => {
    setTyped(text);
    const moment = fromInput(text);
    if (moment ? moment >= "2000" && moment < "2100" : text === "" && !kept) onChange(moment ?? undefined);
  };
  return (
    <TextInput aria-label={word === "from" ? "From" : "To"} leftSection={word} leftSectionWidth={word === "from" ? 48 : 30} className="when" type="datetime-local" min="2000-01-01T00:00" max="2099-12-31T23:59"
      value={typed ?? (at ? forInput(at) : "")} onChange={(event) => type(event.currentTarget.value)} onBlur={() => setTyped(null)} />
  );
}
