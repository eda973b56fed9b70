import { createTheme, type MantineColorsTuple } from "@mantine/core";

// Pine for what can be acted on; all else is paper and ink.
const pine: MantineColorsTuple = [
  "#e9f5f1", "#d3e9e2", "#a6d5c7", "#76bfab", "#4fac93", "#2f9479", "#177a62", "#0b6652", "#085444", "#053f33",
];
const wax: MantineColorsTuple = [
  "#fdecea", "#fad7d3", "#f5b5ae", "#f2a09a", "#e5716a", "#d64f47", "#c43a31", "#b3261e", "#981d16", "#7a150f",
];
const stone: MantineColorsTuple = [
  "#f8f8f5", "#f0f0eb", "#e5e4de", "#d3d2ca", "#b4b4ab", "#8e8f86", "#6a6c64", "#4c4e47", "#33352f", "#1f211d",
];
const coal: MantineColorsTuple = [
  "#e8e9e3", "#b9bcb3", "#989b92", "#6b6f67", "#3c403b", "#2c302c", "#212521", "#191c19", "#131513", "#0d0f0d",
];

export const theme = createTheme({
  primaryColor: "pine",
  primaryShade: { light: 7, dark: 3 },
  autoContrast: true,
  colors: { pine, red: wax, gray: stone, dark: coal },
  fontFamily: "'Inter Variable', 'Segoe UI', system-ui, sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', 'Cascadia Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace",
  fontSizes: { xs: "12px", sm: "13px", md: "14px", lg: "16px", xl: "20px" },
  lineHeights: { xs: "1.45", sm: "1.5", md: "1.5" },
  defaultRadius: 6,
  cursorType: "pointer",
  focusRing: "auto",
  respectReducedMotion: true,
  headings: { fontWeight: "600" },
  components: {
    Button: { defaultProps: { size: "sm", variant: "filled" }, styles: { label: { fontWeight: 550 } } },
    TextInput: { defaultProps: { size: "sm" } },
    Modal: { defaultProps: { centered: true, overlayProps: { opacity: 0.35 }, closeButtonProps: { "aria-label": "Close" } } },
    Drawer: { defaultProps: { overlayProps: { opacity: 0.3 }, closeButtonProps: { "aria-label": "Close" } } },
    Tooltip: { defaultProps: { openDelay: 250, withArrow: true } },
  },
});
