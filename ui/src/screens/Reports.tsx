// Reports, a tab for each kind: read here, printed, or taken along. What is asked for stands in the address.

import { Button, Menu, SegmentedControl, Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { download } from "../api/client";
import { addressOfReport, clientKeys, providers, report } from "../api/queries";
import { local } from "../format";
import { Icon } from "../icons";
import { Loaded, Loading, Page, Panel, told } from "../parts/basic";
import { Tabs } from "../parts/Tabs";
import { daysOfReports, kindsOfReports, reportRoute } from "../router";

type Kind = (typeof kindsOfReports)[number];

const Hygiene = lazy(() => import("./reports/Hygiene"));
const Sections = lazy(() => import("./reports/Sections"));

const shown: Record<Kind, { name: string; about: string }> = {
  hygiene: { name: "Hygiene", about: "Keys that somebody should look at: unused, idle, shared, old, or allowed more than they do." },
  usage: { name: "Usage", about: "Who called what, how it went, and what it cost." },
  security: { name: "Security", about: "Who was refused, what was changed and by whom, and whether the trail holds." },
};

export function Reports() {
  const { kind } = reportRoute.useParams() as { kind: string };
  const search = reportRoute.useSearch();
  const go = useNavigate({ from: reportRoute.fullPath });
  const here: Kind = kindsOfReports.find((one) => one === kind) ?? "hygiene";
  const days = search.days ?? 30;
  const asked = { days, client: search.client, provider: search.provider };
  const read = useQuery(report(here, asked));
  const keys = useQuery(clientKeys);
  const catalogue = useQuery(providers);
  const set = (more: Partial<typeof search>) => void go({ search: (before) => ({ ...before, ...more }), replace: true });
  const save = (format: string) => download("GET", addressOfReport(here, asked, format), `sealgate-${here}-${new Date().toISOString().slice(0, 10)}.${format}`).catch(told.refused);
  const { name, about } = shown[here];
  return (
    <Page title="Reports" name={`${name} · Reports`} about={about}
      actions={
        <>
          <Button component="a" href={addressOfReport(here, asked, "html")} target="_blank" rel="noopener" variant="default" leftSection={<Icon name="out" size={16} />}>Open to print</Button>
          <Menu position="bottom-end">
            <Menu.Target><Button variant="default" leftSection={<Icon name="down" size={16} />}>Save</Button></Menu.Target>
            <Menu.Dropdown>
              <Menu.Item onClick={() => void save("html")}>HTML</Menu.Item>
              <Menu.Item onClick={() => void save("csv")}>CSV</Menu.Item>
              <Menu.Item onClick={() => void save("json")}>JSON</Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </>
      }>
      <Tabs label="Reports" to="/reports/$kind" name="kind" tabs={kindsOfReports} here={here} nameOf={(one) => shown[one].name} />
      <div className="toolbar toolbar-bare">
        <SegmentedControl aria-label="Range" size="xs" value={String(days)} onChange={(value) => set({ days: daysOfReports.find((one) => String(one) === value) })}
          data={daysOfReports.map((one) => ({ value: String(one), label: one === 1 ? "Day" : one === 7 ? "Week" : `${one} days` }))} />
        <Select aria-label="Client key" placeholder="Every client key" clearable searchable limit={200} w={190} value={search.client ?? null} onChange={(value) => set({ client: value ?? undefined })}
          data={keys.data?.map((key) => ({ value: key.id, label: key.name })) ?? []} clearButtonProps={{ "aria-label": "Every client key" }} />
        <Select aria-label="Provider" placeholder="Every provider" clearable searchable w={170} value={search.provider ?? null} onChange={(value) => set({ provider: value ?? undefined })}
          data={catalogue.data?.map((one) => ({ value: one.id, label: one.title })) ?? []} clearButtonProps={{ "aria-label": "Every provider" }} />
      </div>
      <Loaded of={read} what="This report" rows={8}>
        {(made) => (
          <Suspense fallback={<Panel><Loading rows={6} /></Panel>}>
            {here === "hygiene" ? <Hygiene report={made} /> : <Sections report={made} />}
            <p className="faint small">Made {local(made.made_at, "second")}, of {local(made.from)} to {local(made.to)}.</p>
          </Suspense>
        )}
      </Loaded>
    </Page>
  );
}
