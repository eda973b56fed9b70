// A table that can be sorted; columns of less weight give way on narrow screens. A row may be opened by the mouse; by
// keyboard it is opened through the link in its first cell. Of long lists a part is drawn at first, so that a thousand
// rows make nobody wait.

import { createSortedRowModel, rowSortingFeature, tableFeatures, useTable } from "@tanstack/react-table";
import { Button } from "@mantine/core";
import { type ReactNode, useMemo, useRef, useState } from "react";
import { exact } from "../format";
import { Icon } from "../icons";

export interface Column<Row> {
  id: string;
  head: string;
  cell: (row: Row) => ReactNode;
  sort?: (row: Row) => string | number;
  align?: "right";
  hide?: "narrow" | "medium";
}

interface Props<Row> {
  label: string;
  rows: Row[];
  columns: Column<Row>[];
  keyOf: (row: Row) => string;
  first?: { id: string; desc?: boolean };
  onRow?: (row: Row) => void;
  none?: string;
}

const byValue = (a: string | number, b: string | number) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

const AT_ONCE = 100;

const features = tableFeatures({ rowSortingFeature, sortedRowModel: createSortedRowModel() });

export function DataTable<Row extends object>({ label, rows, columns, keyOf, first, onRow, none }: Props<Row>) {
  const latest = useRef(columns);
  latest.current = columns;
  const known = useMemo(
    () =>
      columns.map((column) => ({
        id: column.id,
        accessorFn: (row: Row) => latest.current.find((one) => one.id === column.id)?.sort?.(row) ?? "",
        enableSorting: column.sort !== undefined,
        sortDescFirst: false,
        sortFn: (a: { getValue: (id: string) => unknown }, b: { getValue: (id: string) => unknown }, id: string) => byValue(a.getValue(id) as string, b.getValue(id) as string),
      })),
    [columns.map((column) => column.id).join()], // the columns of a screen are the same ones each time
  );
  const table = useTable({
    features,
    data: rows,
    columns: known as never,
    getRowId: keyOf,
    initialState: { sorting: first ? [{ id: first.id, desc: first.desc ?? false }] : [] },
  } as never) as unknown as {
    getRowModel: () => { rows: { id: string; original: Row }[] };
    getColumn: (id: string) => { getIsSorted: () => false | "asc" | "desc"; toggleSorting: () => void } | undefined;
  };
  const [most, setMost] = useState(AT_ONCE);
  const all = table.getRowModel().rows;
  const shown = all.slice(0, most);
  const classOf = (column: Column<Row>) => `${column.align === "right" ? "right num" : ""} ${column.hide ? `hide-${column.hide}` : ""}`.trim() || undefined;
  if (rows.length === 0 && none) return <p className="none muted">{none}</p>;
  return (
    <>
    <div className="scroll" tabIndex={0} role="region" aria-label={label}>
      <table className="table">
        <thead>
          <tr>
            {columns.map((column) => {
              const sorted = table.getColumn(column.id)?.getIsSorted() ?? false;
              return (
                <th key={column.id} scope="col" className={classOf(column)} aria-sort={sorted === "asc" ? "ascending" : sorted === "desc" ? "descending" : undefined}>
                  {column.sort ? (
                    <button type="button" className={`sort ${sorted || ""}`} onClick={() => table.getColumn(column.id)?.toggleSorting()}>
                      {column.head}
                      <Icon name="chevron" size={12} />
                    </button>
                  ) : column.head}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={row.id} className={onRow ? "clickable" : undefined} onClick={onRow && ((event) => { if (!(event.target as HTMLElement).closest("a,button")) onRow(row.original); })}>
              {columns.map((column) => <td key={column.id} className={classOf(column)}>{column.cell(row.original)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
    {all.length > most && (
      <div className="table-foot row-between">
        <span className="faint small">{exact(most)} of {exact(all.length)} shown</span>
        <Button variant="default" size="xs" onClick={() => setMost((before) => before + 4 * AT_ONCE)}>More</Button>
      </div>
    )}
    </>
  );
}
