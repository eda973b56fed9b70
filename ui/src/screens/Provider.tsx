// One provider: its keys first, then how it is reached and checked.

import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { providers, secrets } from "../api/queries";
import { money, plural } from "../format";
import { ButtonLink } from "../parts/links";
import { Icon } from "../icons";
import { Empty, Facts, Loaded, Mono, Page, Panel, Tag, Time } from "../parts/basic";
import { DataTable, type Column } from "../parts/DataTable";
import { titleOf } from "../parts/SecretField";
import { providerRoute } from "../router";
import { may, useWho } from "../session";
import { Lost } from "../shell/Gate";
import { hostOf } from "./Catalogue";
import { Ends, HealthOf, lastUse } from "../parts/marks";

type Placement = Schemas["Placement"];
const where = (place: Placement) => (place.at === "header" ? `header ${place.name}` : place.at === "query" ? `query parameter ${place.name}` : place.at === "json" ? `body at ${place.pointer}` : place.at === "basic" ? "basic authentication" : `path ${place.prefix ?? ""}`);

export function Provider() {
  const { id } = providerRoute.useParams();
  const all = useQuery(providers);
  const held = useQuery(secrets);
  const who = useWho();
  const go = useNavigate();
  return (
    <Loaded of={all} what="The catalogue">
      {(list) => {
        const provider = list.find((one) => one.id === id);
        if (!provider) return <Lost />;
        const keys = held.data?.filter((secret) => secret.provider === id) ?? [];
        const add = may.operate(who.role) && <ButtonLink to="/secrets/new" search={{ provider: id }} leftSection={<Icon name="plus" size={16} />}>Add a key</ButtonLink>;
        const columns: Column<Schemas["Secret"]>[] = [
          { id: "name", head: "Name", sort: (row) => row.name, cell: (row) => <Link to="/secrets/$id" params={{ id: row.id }} className="row-link">{row.name}</Link> },
          { id: "health", head: "Health", sort: (row) => row.health, cell: (row) => <HealthOf secret={row} /> },
          { id: "used", head: "Last use", hide: "narrow", sort: (row) => lastUse(row) ?? "", cell: (row) => <Time at={lastUse(row)} as="relative" /> },
          { id: "ends", head: "Ends", sort: (row) => row.expires_at ?? "9", cell: (row) => <Ends at={row.expires_at} /> },
        ];
        return (
          <Page title={provider.title} above={<Link to="/providers">Catalogue</Link>} about={<>{provider.category} · <Mono>{provider.id}</Mono>{provider.managed_by && <> · kept in the {provider.managed_by === "settings" ? "settings file" : "database"}</>}</>} actions={add}>
            <Panel title="Keys" flush={keys.length > 0}>
              {keys.length === 0 ? <Empty icon="vault" title="No key of this provider" action={add || undefined}>Calls to it are answered 503 until there is one.</Empty>
                : <DataTable label="Keys" rows={keys} columns={columns} keyOf={(row) => row.id} onRow={(row) => void go({ to: "/secrets/$id", params: { id: row.id } })} />}
            </Panel>
            <div className="columns">
              <Panel title="How it is reached">
                <Facts items={[
                  { name: "Address", value: <Mono>{hostOf(provider.base_url)}</Mono> },
                  provider.websocket_url ? { name: "Streams", value: <Mono>{hostOf(provider.websocket_url)}</Mono> } : null,
                  ...Object.entries(provider.hosts).map(([name, host]) => ({ name: `Host ${name}`, value: <Mono>{hostOf(host)}</Mono> })),
                  { name: "The key goes into", value: provider.inject.length ? provider.inject.map(where).join(", ") : "the first message of a stream" },
                  { name: "Time-outs", value: `connect ${provider.timeouts.connect_seconds} s, first byte ${provider.timeouts.first_byte_seconds} s, idle ${provider.timeouts.idle_seconds} s` },
                  { name: "Limit", value: provider.requests_per_minute ? `${provider.requests_per_minute} calls a minute` : "as its answers say" },
                  { name: "Waits for it up to", value: plural(provider.max_wait_seconds, "second") },
                  provider.fresh_seconds > 0 ? { name: "An answer holds for", value: `${plural(provider.fresh_seconds, "second")}, where it says nothing` } : null,
                  { name: "Several keys", value: provider.pool ? "share the load" : "by name" },
                  provider.price && provider.price.per_call > 0 ? { name: "Price of a call", value: money(provider.price.per_call) } : null,
                ]} />
              </Panel>
              <Panel title="How a key is checked">
                <Facts items={[
                  ...provider.fields.map((field) => {
                    const format = provider.formats[field];
                    return { name: titleOf(field), value: format ? `${format.min_length} to ${format.max_length} characters${format.prefixes.length ? `, begins with ${format.prefixes.join(" or ")}` : ""}` : "any text" };
                  }),
                  provider.probe ? { name: "Asked with", value: <Mono>{provider.probe.method} {provider.probe.path}</Mono> } : { name: "Asked with", value: "nothing: its keys are stored unasked" },
                  provider.probe?.permissions.length ? { name: "Permissions", value: <span className="row-wrap">{provider.probe.permissions.map((one) => <Tag key={one.name}>{one.name}{one.needed ? " (needed)" : ""}</Tag>)}</span> } : null,
                  provider.docs_url ? { name: "Documentation", value: <a href={provider.docs_url} target="_blank" rel="noreferrer">{hostOf(provider.docs_url)}</a> } : null,
                ]} />
              </Panel>
            </div>
          </Page>
        );
      }}
    </Loaded>
  );
}
