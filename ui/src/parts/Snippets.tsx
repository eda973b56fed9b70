// What a caller writes, to be copied.

import { SegmentedControl, Select } from "@mantine/core";
import { useState } from "react";
import { snippet } from "../snippet";
import { CodeBlock } from "./basic";

interface Props {
  providers: { id: string; usual?: string | undefined }[];
  apiKey: string;
  scopes?: string[] | null | undefined;
}

export function Snippets({ providers, apiKey, scopes }: Props) {
  const [language, setLanguage] = useState("curl");
  const [chosen, setChosen] = useState<string | null>(null);
  const one = providers.find(({ id }) => id === chosen) ?? providers[0] ?? { id: "sandbox" };
  return (
    <div className="stack-tight">
      {providers.length > 1 && <Select aria-label="Provider of the example" size="xs" w={200} value={one.id} onChange={setChosen} data={providers.map(({ id }) => id)} allowDeselect={false} />}
      <SegmentedControl aria-label="Language" size="xs" value={language} onChange={setLanguage} data={[{ value: "curl", label: "curl" }, { value: "python", label: "Python" }, { value: "javascript", label: "JavaScript" }]} className="start" />
      <CodeBlock text={snippet(language, one.id, apiKey, { scopes, usual: one.usual })} label={`${language} example`} />
    </div>
  );
}
