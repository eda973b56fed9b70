// What a caller writes, to be copied.

import { SegmentedControl } from "@mantine/core";
import { useState } from "react";
import { snippet } from "../snippet";
import { CodeBlock } from "./basic";

export function Snippets({ provider, apiKey }: { provider: string; apiKey: string }) {
  const [language, setLanguage] = useState("curl");
  return (
    <div className="stack-tight">
      <SegmentedControl aria-label="Language" size="xs" value={language} onChange={setLanguage} data={[{ value: "curl", label: "curl" }, { value: "python", label: "Python" }, { value: "javascript", label: "JavaScript" }]} className="start" />
      <CodeBlock text={snippet(language, provider, apiKey)} label={`${language} example`} />
    </div>
  );
}
