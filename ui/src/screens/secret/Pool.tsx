// A key's place beside the others of its provider, and what the provider gives for it.

import { Button, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Schemas, api, ask, asRefused } from "../../api/client";
import { queries, secrets } from "../../api/queries";
import { exact, percent, plural } from "../../format";
import { Facts, Panel, Time, told } from "../../parts/basic";
import { Confirm } from "../../parts/confirm";
import { PlaceOf } from "../../parts/marks";

type Secret = Schemas["Secret"];
type Place = NonNullable<Secret["pool"]>;

const refresh = () => queries.invalidateQueries({ queryKey: ["secrets"] });
const takesCalls = (secret: Secret) => secret.active && secret.usable && (secret.pool?.state === "serving" || secret.pool?.state === "cooling");

function Weight({ place, change }: { place: Place; change: (body: Schemas["PoolChange"], done: string) => Promise<void> }) {
  const [weight, setWeight] = useState(String(place.weight));
  const [fault, setFault] = useState<string | undefined>(undefined);
  const save = async (event: FormEvent) => {
    event.preventDefault();
    setFault(undefined);
    await change({ weight: Number(weight) }, "Its part of the calls is another from now on.").catch((refused: unknown) => setFault(asRefused(refused).of("weight") ?? asRefused(refused).message));
  };
  return (
    <form className="row" onSubmit={(event) => void save(event)}>
      <TextInput aria-label="Weight" type="number" min={1} max={1000} step={1} value={weight} onChange={(event) => setWeight(event.currentTarget.value)} error={fault} size="xs" w={96} required />
      {weight !== String(place.weight) && <Button type="submit" size="xs" variant="default">Save</Button>}
    </form>
  );
}

function InPool({ secret, place, mayAct }: { secret: Secret; place: Place; mayAct: boolean }) {
  const asked = useQuery(secrets);
  const [asking, setAsking] = useState(false);
  const others = (asked.data ?? []).filter((one) => one.provider === secret.provider && one.active);
  const serving = others.filter(takesCalls);
  const whole = serving.reduce((sum, one) => sum + (one.pool?.weight ?? 0), 0);
  const change = async (body: Schemas["PoolChange"], done: string) => {
    await ask(() => api.PUT("/api/v1/admin/secrets/{id}/pool", { params: { path: { id: secret.id } }, body }));
    await refresh();
    told.done(done);
  };
  const isAside = place.state === "drained" || place.state === "quarantined";
  const isLast = takesCalls(secret) && serving.length === 1;
  return (
    <Panel title="In the pool" about={`Calls that name no key are shared by ${plural(others.length, "key")}, the free ones by weight.`}
      actions={mayAct && (isAside ? <Button size="xs" variant="default" onClick={() => void change({ drained: false }, "It takes calls again.").catch(told.refused)}>Put back</Button> : <Button size="xs" variant="default" onClick={() => setAsking(true)}>Set aside</Button>)}>
      <Facts items={[
        { name: "State", value: <PlaceOf place={place} /> },
        place.since ? { name: "Since", value: <Time at={place.since} /> } : null,
        place.until ? { name: "Free again", value: <Time at={place.until} as="second" /> } : null,
        { name: "Weight", value: mayAct ? <Weight key={place.weight} place={place} change={change} /> : exact(place.weight) },
        { name: "Of the calls", value: takesCalls(secret) && whole > 0 ? percent(place.weight / whole) : "none" },
      ]} />
      {place.state === "quarantined" && <p className="text-bad small">The provider refused it again and again while it took others. A check that finds it good, another version, or putting it back ends this.</p>}
      {asking && (
        <Confirm title="Set this key aside?" action="Set aside" danger={isLast} onClose={() => setAsking(false)} act={() => change({ drained: true }, "Set aside. Calls under way end in peace.")}>
          <p>Calls that name no key go to the others; those under way end in peace. Client keys that are bound to it, and calls that name it, still use it.</p>
          {isLast && <p className="text-bad">No other key of the pool takes calls: they are answered 503 until one does.</p>}
        </Confirm>
      )}
    </Panel>
  );
}

function Given({ limit }: { limit: NonNullable<Secret["provider_limit"]> }) {
  return (
    <Panel title="The provider's limit" about="As far as this node knows; calls wait their turn instead of being refused.">
      <Facts items={[
        { name: "Calls", value: limit.calls && limit.window_seconds ? `${exact(limit.calls)} in ${plural(limit.window_seconds, "second")}` : "known from refusals alone" },
        limit.learnt_per_minute ? { name: "Learnt", value: `${exact(limit.learnt_per_minute)} a minute` } : null,
        { name: "Under way", value: exact(limit.under_way) },
        limit.closed_until ? { name: "No call before", value: <Time at={limit.closed_until} as="second" /> } : null,
      ]} />
    </Panel>
  );
}

export default function Pool({ secret, mayAct }: { secret: Secret; mayAct: boolean }) {
  return (
    <>
      {secret.pool && <InPool secret={secret} place={secret.pool} mayAct={mayAct} />}
      {secret.provider_limit && <Given limit={secret.provider_limit} />}
    </>
  );
}
